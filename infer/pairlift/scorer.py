"""The scorer: pairs of texts to probabilities, in input order, whatever the number of threads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pairlift.bundle import Bundle
from pairlift.choices import FP32
from pairlift.counts import Counts, count_texts
from pairlift.encoder import WINDOW_ROWS, Pair, PairEncoder, check_text
from pairlift.errors import BundleError, RowError, UsageError
from pairlift.packing import Batch, measure, pack
from pairlift.session import count_threads, open_session

Probabilities = NDArray[np.float32]

BATCH_TOKENS = 1024  # larger batches fall out of the cache and are slower (docs/performance.md)


class Scorer:
    """Scores pairs with one variant of a bundle.

    Attributes:
        bundle: The bundle.
        variant: The variant's name.
        labels: Label names, in the order of the columns of `score`.
        temperature: What logits are divided by before the softmax.
        threads: How many batches are computed at once.
    """

    def __init__(self, bundle: Bundle, variant: str = FP32, threads: int | None = None) -> None:
        """Load a bundle's graph and tokenizer.

        Args:
            bundle: The bundle.
            variant: `fp32`, or another that the bundle has.
            threads: How many batches are computed at once; None for what affinity and quota allow.

        Raises:
            UsageError: The bundle has no such variant.
            BundleError: A file is altered, or the graph is not the manifest's.
        """
        manifest = bundle.manifest
        if variant not in manifest.variants:
            raise UsageError(f"variant {variant!r}: {bundle.path} has {', '.join(sorted(manifest.variants))}")
        self.bundle = bundle
        self.variant = variant
        self.labels = manifest.labels
        self.temperature = manifest.temperature
        self._encoder = PairEncoder(bundle.encoder_record)
        name = manifest.variants[variant].file
        self._session = open_session(bundle.read(name), bundle.at(name))
        _check_graph(self._session, bundle)
        self.threads = threads or count_threads()
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="pairlift")

    @classmethod
    def open(cls, path: str | os.PathLike[str], variant: str = FP32, threads: int | None = None) -> Scorer:
        """Open a bundle directory and return its scorer; errors as `Bundle.open` and `Scorer`."""
        return cls(Bundle.open(path), variant, threads)

    def score(self, pairs: Sequence[Any]) -> Probabilities:
        """Score sentence pairs.

        Args:
            pairs: Each a tuple of two texts in the bundle's field order, or a mapping with the fields' names.

        Returns:
            Probabilities, float32, shape (len(pairs), n_labels), rows in input order.

        Raises:
            RowError: A text is not a string, or holds a lone surrogate.
            BundleError: The graph's output does not match the manifest.
        """
        return softmax(self.logits(pairs), self.temperature)

    def logits(self, pairs: Sequence[Any]) -> Probabilities:
        """Return the logits of sentence pairs, float32, shape (len(pairs), n_labels); otherwise as `score`."""
        texts = [self._read_pair(pair, i) for i, pair in enumerate(pairs)]
        out = np.empty((len(texts), len(self.labels)), np.float32)
        windows = (slice(start, start + WINDOW_ROWS) for start in range(0, len(texts), WINDOW_ROWS))
        last: tuple[slice, Pending] | None = None
        for window in windows:
            pending = self.submit(texts[window])
            if last is not None:
                out[last[0]] = last[1].wait()
            last = window, pending
        if last is not None:
            out[last[0]] = last[1].wait()
        return out

    def predict(self, pairs: Sequence[Any]) -> list[str]:
        """Return the most probable label of each pair."""
        return [self.labels[i] for i in self.logits(pairs).argmax(axis=1)] if len(pairs) else []

    def token_ids(self, pairs: Sequence[Any]) -> list[tuple[int, ...]]:
        """Return what the graph is fed for each pair, without padding."""
        ids = []
        for i, pair in enumerate(pairs):
            batch = self._encoder.encode([self._read_pair(pair, i)])
            ids.append(tuple(batch.token_ids[0].tolist()))
        return ids

    def run(self, batch: Batch) -> Probabilities:
        """Return the logits of packed rows, float32, shape (rows, n_labels).

        Raises:
            BundleError: The graph's output does not match the manifest.
        """
        logits = self._session.run([self.bundle.manifest.output], batch.feeds())[0]
        if logits.shape != (len(batch.token_ids), len(self.labels)):
            raise BundleError(
                f"{self.bundle.path}: the graph gave shape {logits.shape}, expected "
                f"({len(batch.token_ids)}, {len(self.labels)}): one column for each label"
            )
        return logits

    def close(self) -> None:
        """End the scorer's threads; what has not begun is not done."""
        self._pool.shutdown(cancel_futures=True)

    def _read_pair(self, pair: Any, index: int) -> Pair:
        fields = self.bundle.manifest.fields
        try:
            if isinstance(pair, dict):
                pair = (pair[fields[0]], pair[fields[1]])
            first, second = pair
        except (KeyError, ValueError, TypeError):
            raise RowError(
                "not_a_pair", f"pair {index}: expected two texts, or a mapping with {' and '.join(fields)}"
            ) from None
        return check_text(first, fields[0]), check_text(second, fields[1])

    def submit(self, pairs: Sequence[Pair]) -> Pending:
        """Tokenise a window of checked pairs, and start scoring it on the scorer's threads.

        The window is tokenised and sorted whole, so memory grows with it; its batches depend on its rows alone.

        Raises:
            UnicodeEncodeError: A text holds a lone surrogate.
        """
        known: dict[Pair, int] = {}
        row_of = np.fromiter((known.setdefault(pair, len(known)) for pair in pairs), np.int64, len(pairs))
        texts: dict[str, int] = {}
        index = [texts.setdefault(text, len(texts)) for pair in known for text in pair]
        first, second = np.array(index, np.int64).reshape(-1, 2).T
        tokens, packing = self._encoder.tokenize(list(texts)), self._encoder.packing
        logits = np.empty((len(known), len(self.labels)), np.float32)

        def run(rows: NDArray[np.int64], width: int) -> None:
            logits[rows] = self.run(pack(packing, tokens, first[rows], second[rows], width))

        widths = measure(packing, tokens, first, second)
        futures = [self._pool.submit(run, rows, int(widths[rows[0]])) for rows in cut_batches(widths)]
        counts = count_texts(packing, tokens, first, second, row_of, widths, self._encoder.unknown)
        return Pending(logits, row_of, futures, counts)


class Pending:
    """A window that is being scored; `counts` says what its texts were like."""

    def __init__(
        self, logits: Probabilities, row_of: NDArray[np.int64], futures: list[Future[None]], counts: Counts
    ) -> None:
        self.counts = counts
        self._logits = logits
        self._row_of = row_of
        self._futures = futures

    def wait(self) -> Probabilities:
        """Return the window's logits, float32, shape (rows, n_labels), rows in input order; errors as `Scorer.run`."""
        try:
            for future in self._futures:
                future.result()
        except BaseException:
            for future in self._futures:
                future.cancel()
            raise
        return self._logits[self._row_of]


def cut_batches(widths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each batch: rows of one width, so that what a row is padded to depends on itself alone.

    Args:
        widths: Columns that each row takes, shape (rows,).
    """
    order = np.argsort(widths, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(widths[order])) + 1):
        step = max(1, BATCH_TOKENS // int(widths[rows[0]])) if len(rows) else 1
        yield from (rows[i : i + step] for i in range(0, len(rows), step))


def softmax(logits: Probabilities, temperature: float = 1.0) -> Probabilities:
    """Return the softmax over the classes (the last axis) of logits by a temperature, float32; each row sums to one."""
    cooled = logits / np.float32(temperature)
    shifted = cooled - cooled.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    probabilities: Probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def _check_graph(session: Any, bundle: Bundle) -> None:
    found = sorted(i.name for i in session.get_inputs())
    expected = sorted(i.name for i in bundle.manifest.inputs)
    outputs = [o.name for o in session.get_outputs()]
    if found != expected or bundle.manifest.output not in outputs:
        raise BundleError(
            f"{bundle.path}: the graph takes {', '.join(found)} and gives {', '.join(outputs)}; "
            f"the manifest says {', '.join(expected)} and {bundle.manifest.output}"
        )
