"""The scorer: turns pairs of texts into probabilities, in input order, with any number of threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pairlift.choices import FP32
from pairlift.encoding.counts import count_texts
from pairlift.encoding.encoder import WINDOW_ROWS, Pair, PairEncoder, check_text
from pairlift.encoding.packing import Batch, find_widths, pack
from pairlift.encoding.pairs import check_pair
from pairlift.errors import BundleError, ChangedError, RowError, UsageError
from pairlift.model.bundle import Bundle
from pairlift.model.results import Checked, Result
from pairlift.model.session import count_threads, open_session
from pairlift.model.threads import Threads
from pairlift.model.windows import Pending, cut_batches
from pairlift.storage.url import is_remote

Probabilities = NDArray[np.float32]


class Scorer:
    """Scores pairs with one variant of a bundle. It is a context manager, which closes the scorer at the end.

    A pair is a mapping, a row or an object with the names of the bundle's fields, or two texts in the bundle's field
    order. A string is not a pair. Several threads may call one scorer at once. A forked child may use its parent's
    scorer, if no call was running during the fork. A pickled scorer opens its bundle's path again, which must contain
    the same bundle.

    Attributes:
        bundle: The bundle.
        variant: The variant's name.
        labels: Label names, in the order of the columns of `score`.
        temperature: The number by which logits are divided before the softmax.
        threads: How many batches are computed at once.
    """

    def __init__(self, bundle: Bundle, variant: str = FP32, threads: int | None = None) -> None:
        """Load a bundle's graph and tokenizer.

        Args:
            bundle: The bundle.
            variant: `fp32`, or another that the bundle has.
            threads: How many batches are computed at once; None for as many as CPU affinity and quota allow.

        Raises:
            UsageError: The bundle has no such variant.
            BundleError: A file is altered, or the graph does not match the manifest.
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
        self._threads = Threads(self.threads)

    @classmethod
    def open(cls, path: str | os.PathLike[str], variant: str = FP32, threads: int | None = None) -> Scorer:
        """Open a bundle and return its scorer. Raises what `Bundle.open` and `Scorer` raise."""
        return cls(Bundle.open(path), variant, threads)

    def __enter__(self) -> Scorer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        path = self.bundle.path if is_remote(self.bundle.path) else os.path.abspath(self.bundle.path)  # noqa: PTH100
        return _open_same, (path, self.bundle.digest, self.variant, self.threads)

    def results(self, pairs: Sequence[Any]) -> list[Result | RowError]:
        """Score sentence pairs. An error in one pair does not affect the others.

        Args:
            pairs: Pairs, in any form that the class accepts.

        Returns:
            For each pair, in order, a `Result`, or a `RowError` with its `reason` and `detail` (docs/errors.md). As in
            a file, it is an error if a text contains NUL (`nul`), or if a score is not finite (`not_finite`).

        Raises:
            BundleError: The graph's output does not match the manifest.
            UsageError: The scorer is closed.
        """
        fields, checked = self.bundle.manifest.fields, Checked()
        logits = self.logits(checked.read(pairs, lambda pair: check_pair(pair, fields)))
        return checked.collect(self.labels, *checked.settle(logits, softmax(logits, self.temperature)))

    def score(self, pairs: Sequence[Any]) -> Probabilities:
        """Score sentence pairs that are all valid. If some may be invalid, use `results`.

        The text after a NUL character is ignored, as in KerasHub, with which the export compares this method. In a
        file, a row with NUL is rejected, and `results` returns an error for it.

        Args:
            pairs: Pairs, in any form that the class accepts.

        Returns:
            Probabilities, float32, shape (len(pairs), n_labels), rows in input order; NaN where the model's scores are
            not finite.

        Raises:
            RowError: An item is not a pair, or one of its texts is not a string or contains a lone surrogate.
            BundleError: The graph's output does not match the manifest.
            UsageError: The scorer is closed.
        """
        return softmax(self.logits(pairs), self.temperature)

    def logits(self, pairs: Sequence[Any]) -> Probabilities:
        """Return the logits of sentence pairs, float32, shape (len(pairs), n_labels); otherwise as `score`."""
        texts = self._read_pairs(pairs)
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
        """Return the most probable label of each pair; otherwise as `score`."""
        return [self.labels[i] for i in self.logits(pairs).argmax(axis=1)]

    def token_ids(self, pairs: Sequence[Any]) -> list[tuple[int, ...]]:
        """Return the token ids of each pair, without padding; otherwise as `score`."""
        return [tuple(self._encoder.encode([pair]).token_ids[0].tolist()) for pair in self._read_pairs(pairs)]

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
        """End the scorer's threads. Batches that have not begun are cancelled, and later calls raise a `UsageError`."""
        self._threads.close()

    def _read_pairs(self, pairs: Sequence[Any]) -> list[Pair]:
        self._threads.check_open()
        texts = []
        for i, pair in enumerate(pairs):
            try:
                texts.append(check_pair(pair, self.bundle.manifest.fields, check_text))
            except RowError as error:
                raise RowError(error.reason, f"pair {i}: {error.detail}") from None
        return texts

    def submit(self, pairs: Sequence[Pair]) -> Pending:
        """Tokenise a window of checked pairs, and start scoring it on the scorer's threads.

        The whole window is tokenised and sorted at once, so memory grows with it. Its batches depend only on its rows.

        Raises:
            UnicodeEncodeError: A text holds a lone surrogate.
            UsageError: The scorer is closed.
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

        widths = find_widths(packing, tokens, first, second)
        futures = [self._threads.submit(run, rows, int(widths[rows[0]])) for rows in cut_batches(widths)]
        counts = count_texts(packing, tokens, first, second, row_of, widths, self._encoder.unknown)
        return Pending(logits, row_of, self._threads, futures, counts)


def softmax(logits: Probabilities, temperature: float = 1.0) -> Probabilities:
    """Return the softmax of logits / temperature over the classes (the last axis), float32; each row sums to one.

    A row is NaN if one of its logits is not finite, before or after the division by the temperature.
    """
    with np.errstate(all="ignore"):
        cooled = logits / np.float32(temperature)
        shifted = cooled - cooled.max(axis=-1, keepdims=True)
        exponentials = np.exp(shifted)
        probabilities: Probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def _open_same(path: str, digest: str, variant: str, threads: int) -> Scorer:
    """Open a pickled scorer. Raises a `ChangedError` if its path contains another bundle."""
    bundle = Bundle.open(path)
    if bundle.digest != digest:
        raise ChangedError(
            f"{path}: is not the bundle of the pickled scorer (digest {bundle.digest[:12]}, expected {digest[:12]}); put that "
            "bundle there"
        )
    return Scorer(bundle, variant, threads)


def _check_graph(session: Any, bundle: Bundle) -> None:
    found = sorted(i.name for i in session.get_inputs())
    expected = sorted(i.name for i in bundle.manifest.inputs)
    outputs = [o.name for o in session.get_outputs()]
    if found != expected or bundle.manifest.output not in outputs:
        raise BundleError(
            f"{bundle.path}: the graph takes {', '.join(found)} and gives {', '.join(outputs)}; "
            f"the manifest says {', '.join(expected)} and {bundle.manifest.output}"
        )
