"""The report of an export, printed when it is done."""

from __future__ import annotations

from pairlift.choices import FP32, INT8
from pairlift.inputs.labelled import describe_left_out
from pairlift.model.manifest import SAVED_MODEL
from pairlift_export.certificate import ArtefactParity, Parity
from pairlift_export.contents import FILES
from pairlift_export.parity import NO_ACCURACY_GATE


def describe(parity: Parity) -> list[str]:
    """Return a summary of the certificate in a few lines."""
    fp32, saved = parity.artefacts[FP32], parity.artefacts[SAVED_MODEL]
    lines = [
        f"token ids: {parity.tokens.equal} of {parity.tokens.compared} pairs equal to KerasHub's",
        f"{_variant(FP32, fp32, parity)}, largest difference of a probability {fp32.probabilities.max:.1e} (at most {fp32.tolerance or 0:.0e})",
        f"saved_model: largest difference of a probability {saved.probabilities.max:.1e}",
    ]
    if parity.cross_check is not None:
        lines.append(f"tf2onnx's graph of the same model differs by {parity.cross_check.max:.1e} at most")
    if INT8 in parity.artefacts:
        int8 = parity.artefacts[INT8]
        lines.append(f"{_variant(INT8, int8, parity)}, calibrated on {parity.calibration_pairs} pairs")
        if int8.drop is None:
            lines.append(NO_ACCURACY_GATE)
    lines += [f"{name} is left out: {fault}" for name, fault in parity.left_out.items()]
    if parity.keras_accuracy is not None:
        shares = [f"{n} {a.accuracy:.4f}" for n, a in parity.artefacts.items() if a.variant and a.accuracy is not None]
        lines.append(f"accuracy on the labelled pairs: Keras {parity.keras_accuracy:.4f}, {', '.join(shares)}")
    if parity.rows_left_out:
        lines.append(f"{parity.pairs_source}: {describe_left_out(parity.rows_left_out)}")
    if parity.hard_pairs == parity.pairs:
        lines.append("no pairs of your own were compared; add --pairs FILE for a proof on your own texts")
    return lines


def _variant(name: str, artefact: ArtefactParity, parity: Parity) -> str:
    return f"{FILES[name]}: {artefact.size / 1e6:.1f} MB, {artefact.same_label} of {parity.pairs} labels the same"
