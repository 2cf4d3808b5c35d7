"""The proof: Keras' results for the pairs of an export, and those of each artefact for the same raw texts."""

from __future__ import annotations

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pairlift.encoding.encoder import EncoderRecord, Pair, PairEncoder
from pairlift.errors import AgreementError
from pairlift.model.scorer import Scorer, softmax
from pairlift.model.session import open_session
from pairlift_export.certificate import ArtefactParity, CrossCheck, Gate, TokenParity, VariantParity
from pairlift_export.graphs import TF2ONNX
from pairlift_export.graphs.builder import OUTPUT
from pairlift_export.graphs.converter import convert_graph
from pairlift_export.hard import hard_pairs
from pairlift_export.job import ExportJob
from pairlift_export.parity import PROBABILITY_TOLERANCE, accuracy, compare_logits, compare_tokens, find_fault, margins
from pairlift_export.reference import Reference, run_by_length
from pairlift_export.saved_model import run_saved_model
from pairlift_export.shapes import Shape, compare_shapes, make_shapes, measure_invariance
from pairlift_export.stages import find_stage
from pairlift_training.run import LabelledPair

GOLDEN_PAIRS = 64
HARD_LOGITS = 128  # hard pairs whose logits are compared too; token ids are compared on all of them
TIMED_SECONDS = 0.5  # a variant is timed for at least this long; a first short run also pays for memory
FEW_ROWS = 16  # for additional comparisons: intermediate outputs, and the other graph


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What artefacts are compared with.

    Attributes:
        encoder: The runner's tokenizer and packing.
        labels: Label names in the order of the head's outputs.
        pairs: The user's pairs and some of the hard corpus.
        hard: How many of the pairs are from the hard corpus.
        tokens: The comparison of the preprocessing, over the pairs and the whole hard corpus.
        arrays: Keras' arrays of the pairs, int32, shape (len(pairs), sequence_length).
        expected: Keras' logits, float32, shape (len(pairs), labels).
        shapes: Batches of many shapes, as Keras computes them.
        converted: The logits of a few pairs by tf2onnx's graph; None if that is the graph of the bundle.
    """

    encoder: EncoderRecord
    labels: tuple[str, ...]
    pairs: tuple[LabelledPair, ...]
    hard: int
    tokens: TokenParity
    arrays: dict[str, NDArray[np.int32]]
    expected: NDArray[np.float32]
    shapes: list[Shape]
    converted: NDArray[np.float32] | None

    @property
    def texts(self) -> list[Pair]:
        """The texts of the pairs."""
        return [(pair.first, pair.second) for pair in self.pairs]

    @property
    def keras_accuracy(self) -> float | None:
        """The accuracy of the reference on the labelled pairs, or None."""
        return accuracy(self.expected.argmax(axis=1), self.pairs, self.labels)

    def hold_variant(self, scorer: Scorer, gate: Gate | None = None) -> ArtefactParity:
        """Compare a variant of the bundle with Keras, through the runner's own scorer."""
        began = time.perf_counter()
        found = scorer.logits(self.texts)
        seconds = time.perf_counter() - began
        while time.perf_counter() - began < TIMED_SECONDS:
            started = time.perf_counter()
            scorer.logits(self.texts)
            seconds = min(seconds, time.perf_counter() - started)
        variant = scorer.bundle.manifest.variants[scorer.variant]
        return dataclasses.replace(
            compare_logits(self.expected, found, self.pairs, self.labels, gate),
            size=scorer.bundle.sizes[variant.file],
            variant=VariantParity(
                graph=variant.graph,
                shapes=compare_shapes(self.shapes, scorer),
                invariance=measure_invariance(scorer, PairEncoder(self.encoder), self.texts),
                pairs_per_second=round(len(self.pairs) / seconds, 1),
                threads=scorer.threads,
            ),
        )

    def hold_saved_model(self, path: Path) -> ArtefactParity:
        """Compare the SavedModel with Keras."""
        served = run_saved_model(path, self.arrays)
        return dataclasses.replace(
            compare_logits(self.expected, served, self.pairs, self.labels),
            size=sum(p.stat().st_size for p in path.rglob("*") if p.is_file()),
        )

    def check(self, name: str, result: ArtefactParity, reference: Reference, graph: Path | None = None) -> None:
        """Check an artefact against its tolerance.

        Args:
            name: The artefact.
            result: Its measurements.
            reference: Keras' model, for finding the stage that differs.
            graph: The ONNX file in which to find that stage.

        Raises:
            AgreementError: The check failed; the message names the first stage of the graph that differs from Keras.
        """
        fault = find_fault(name, result)
        if fault is None:
            return
        where = ""
        if graph is not None:
            worst = np.argsort(np.nan_to_num(result.differences, nan=np.inf))[::-1][:FEW_ROWS]
            where = f"; {find_stage(reference, graph, {k: v[worst] for k, v in self.arrays.items()})}"
        raise AgreementError(f"parity failed: {fault}{where}; no bundle was written")

    def cross_check(self, scorer: Scorer) -> CrossCheck | None:
        """Compare a graph from the weights with tf2onnx's graph of the same model, on a few pairs.

        Raises:
            AgreementError: They differ by more than the tolerance for Keras.
        """
        if self.converted is None:
            return None
        found = scorer.score([self.texts[i] for i in _few(len(self.pairs))])
        difference = float(np.abs(softmax(self.converted) - found).max())
        if not difference <= PROBABILITY_TOLERANCE:
            raise AgreementError(
                f"parity failed: tf2onnx's graph differs from the one built from the weights by {difference:.2e} in probability, "
                f"expected at most {PROBABILITY_TOLERANCE:.0e}; no bundle was written"
            )
        return CrossCheck(pairs=len(found), max=difference)

    @property
    def golden_texts(self) -> list[Pair]:
        """The texts of the golden pairs: the hardest, and others spread over the rest."""
        order = np.argsort(margins(self.expected), kind="stable")
        hardest = order[: GOLDEN_PAIRS // 2].tolist()
        spread = [i for i in np.linspace(0, len(self.pairs) - 1, GOLDEN_PAIRS).astype(int).tolist() if i not in hardest]
        return [self.texts[i] for i in sorted([*hardest, *spread[: GOLDEN_PAIRS - len(hardest)]])]


def prove(reference: Reference, encoder: EncoderRecord, job: ExportJob, route: str) -> Proof:
    """Have Keras tokenise and score the job's pairs and some hard ones, and compare the tokens.

    Args:
        reference: The model.
        encoder: The runner's tokenizer and packing.
        job: Names the labels and holds the pairs.
        route: How the graph was made; if not by tf2onnx, tf2onnx's graph is run too.

    Raises:
        AgreementError: A token differs.
    """
    every_hard = hard_pairs()
    hard = every_hard[:: max(1, len(every_hard) // HARD_LOGITS)][:HARD_LOGITS]
    pairs = (*job.pairs, *hard)
    texts = [(pair.first, pair.second) for pair in (*job.pairs, *every_hard)]
    arrays = reference.encode(texts)
    tokens = compare_tokens(arrays, PairEncoder(encoder).encode(texts, encoder.packing.sequence_length), texts)
    places = [*range(len(job.pairs)), *(len(job.pairs) + every_hard.index(pair) for pair in hard)]
    arrays = {name: values[places] for name, values in arrays.items()}
    few = {name: values[_few(len(pairs))] for name, values in arrays.items()}
    with ThreadPoolExecutor(1) as pool:  # tf2onnx is slow and takes one core, Keras takes the others
        converted = None if route == TF2ONNX else pool.submit(_run_tf2onnx, reference, few)
        expected = reference.logits(arrays)
        shapes = make_shapes(reference, encoder, [(pair.first, pair.second) for pair in pairs])
    return Proof(
        encoder=encoder,
        labels=job.labels,
        pairs=pairs,
        hard=len(hard),
        tokens=tokens,
        arrays=arrays,
        converted=converted.result() if converted else None,
        expected=expected,
        shapes=shapes,
    )


def _few(count: int) -> NDArray[np.int64]:
    return np.linspace(0, count - 1, min(FEW_ROWS, count)).astype(np.int64)


def _run_tf2onnx(reference: Reference, arrays: dict[str, NDArray[np.int32]]) -> NDArray[np.float32]:
    data = convert_graph(reference).SerializeToString()
    session = open_session(data, "tf2onnx's graph")
    del data  # a base-size graph is 440 MB
    return run_by_length(lambda batch: session.run([OUTPUT], batch)[0], arrays)
