"""The scorer: pairs of texts to probabilities, in input order, whatever the number of threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pairlift.choices import FP32
from pairlift.encoding.counts import count_texts
from pairlift.encoding.encoder import WINDOW_ROWS, Pair, PairEncoder, check_text
from pairlift.encoding.packing import Batch, measure, pack
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
    """Scores pairs with one variant of a bundle; a context manager, which closes it at the end.

    A pair is a mapping, a row or an object with the names of the bundle's fields, or two texts in the bundle's field order; a string
    is no pair. Several threads may call one scorer at once. A forked child may go on with its parent's, if no call was at work
    during the fork. A pickled scorer is opened again from its bundle's path, which must hold the same bundle there.

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
        self._threads = Threads(self.threads)

    @classmethod
    def open(cls, path: str | os.PathLike[str], variant: str = FP32, threads: int | None = None) -> Scorer:
        """Open a bundle directory and return its scorer; errors as `Bundle.open` and `Scorer`."""
        return cls(Bundle.open(path), variant, threads)

    def __enter__(self) -> Scorer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        path = self.bundle.path if is_remote(self.bundle.path) else os.path.abspath(self.bundle.path)  # noqa: PTH100
        return _open_same, (path, self.bundle.digest, self.variant, self.threads)

    def results(self, pairs: Sequence[Any]) -> list[Result | RowError]:
        """Score sentence pairs, each whatever is wrong with the others.

        Args:
            pairs: Each as the class says.

        Returns:
            For each pair, in order, a `Result`, or a `RowError` with its `reason` and `detail` (docs/errors.md). As in a file, a text
            that holds NUL is an error (`nul`), and so is a score that is not finite (`not_finite`).

        Raises:
            BundleError: The graph's output does not match the manifest.
            UsageError: The scorer is closed.
        """
        fields, checked = self.bundle.manifest.fields, Checked()
        logits = self.logits(checked.read(pairs, lambda pair: check_pair(pair, fields)))
        return checked.collect(self.labels, *checked.settle(logits, softmax(logits, self.temperature)))

    def score(self, pairs: Sequence[Any]) -> Probabilities:
        """Score sentence pairs that are all well; `results` is for those that may not be.

        What stands after a NUL character in a text is not read, as in KerasHub, to which this is held. A file's row with NUL is
        rejected, and `results` gives its error.

        Args:
            pairs: Each as the class says.

        Returns:
            Probabilities, float32, shape (len(pairs), n_labels), rows in input order; NaN where the model gives nothing finite.

        Raises:
            RowError: The first that is no pair, or has a text that is not a string or holds a lone surrogate.
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
        """Return what the graph is fed for each pair, without padding; otherwise as `score`."""
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
        """End the scorer's threads; what has not begun is not done, and a later call is a `UsageError`."""
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

        The window is tokenised and sorted whole, so memory grows with it; its batches depend on its rows alone.

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

        widths = measure(packing, tokens, first, second)
        futures = [self._threads.submit(run, rows, int(widths[rows[0]])) for rows in cut_batches(widths)]
        counts = count_texts(packing, tokens, first, second, row_of, widths, self._encoder.unknown)
        return Pending(logits, row_of, self._threads, futures, counts)


def softmax(logits: Probabilities, temperature: float = 1.0) -> Probabilities:
    """Return the softmax over the classes (the last axis) of logits by a temperature, float32; each row sums to one.

    A row is NaN where a logit is not finite, or not when it has been divided by the temperature.
    """
    with np.errstate(all="ignore"):
        cooled = logits / np.float32(temperature)
        shifted = cooled - cooled.max(axis=-1, keepdims=True)
        exponentials = np.exp(shifted)
        probabilities: Probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def _open_same(path: str, digest: str, variant: str, threads: int) -> Scorer:
    """Open the scorer that was pickled; a `ChangedError` where its path holds another bundle."""
    bundle = Bundle.open(path)
    if bundle.digest != digest:
        raise ChangedError(
            f"{path}: is another bundle than that of the pickled scorer (digest {bundle.digest[:12]}, expected {digest[:12]}); put "
            "the same one there"
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
