"""Stages: where in the network an ONNX graph first differs from Keras."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from pairlift.model.session import open_session
from pairlift_export.reference import Reference

# More than float32 in another order changes a hidden state, relative to its root mean square (measured: 3e-6 at most).
STAGE_TOLERANCE = 2e-5
FEW_LABELS = 5  # with up to this many labels, all their orders are tried


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The first stage at which a graph differs from Keras.

    Attributes:
        layer: The Keras layer, or `batching` if the graph agrees on rows of full length.
        before: The difference at the stage before, relative to the root mean square of the stage's values.
        after: The difference at this stage, likewise.
        advice: A likely cause, or an empty string.
    """

    layer: str
    before: float
    after: float
    advice: str = ""

    def __str__(self) -> str:
        if self.layer == "batching":
            return "the graph agrees with Keras on rows of full length: the difference is in how rows are batched and padded"
        return (
            f"the first stage that disagrees is {self.layer}, where the relative difference jumps from {self.before:.1e} "
            f"to {self.after:.1e}{self.advice}"
        )


def find_stage(reference: Reference, graph: Path, arrays: dict[str, NDArray[np.int32]]) -> Stage:
    """Compare intermediate outputs of Keras and a graph on the same arrays, and return the first stage that differs."""
    expected = reference.stages(arrays)
    found = run_stages(graph, list(expected), arrays)
    mask = arrays["padding_mask"].astype(bool)
    before = 0.0
    for layer, values in expected.items():
        if layer not in found:
            continue
        after = _difference(values, found[layer], mask)
        if not after <= STAGE_TOLERANCE:
            advice = _advise(values, found[layer]) if layer == "logits" else ""
            return Stage(layer=layer, before=before, after=after, advice=advice)
        before = after
    return Stage(layer="batching", before=before, after=before)


def run_stages(graph: Path, names: list[str], arrays: dict[str, NDArray[np.int32]]) -> dict[str, NDArray[np.float32]]:
    """Run a graph on its input arrays, and return those of the named tensors that it has."""
    model = onnx.load(graph)
    made = {name for node in model.graph.node for name in node.output}
    there = [name for name in names if name in made]
    outputs = {output.name for output in model.graph.output}
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in there if name not in outputs
    )
    session = open_session(model.SerializeToString(), str(graph))
    return dict(zip(there, session.run(there, arrays), strict=True))


def _difference(expected: NDArray[np.float32], found: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    found = found[: len(expected)]  # without the spare row of a built graph's last layer
    if expected.ndim == 3 and (found.ndim == 2 or found.shape[1] == 1 < expected.shape[1]):
        expected, found = (
            expected[:, 0],
            found.reshape(len(found), -1),
        )  # a last layer that computes the first token alone
    if expected.ndim == 3:
        expected, found = expected[mask], found.reshape(expected.shape)[mask]
    scale = float(np.sqrt(np.mean(np.square(expected, dtype=np.float64)))) or 1.0
    return float(np.abs(expected.astype(np.float64) - found).max()) / scale


def _advise(expected: NDArray[np.float32], found: NDArray[np.float32]) -> str:
    labels = expected.shape[1]
    for order in itertools.permutations(range(labels)) if labels <= FEW_LABELS else ():
        if np.abs(found[:, order] - expected).max() <= STAGE_TOLERANCE * np.abs(expected).max():
            return f"; its outputs are Keras' in the order {', '.join(map(str, order))}"
    return ""
