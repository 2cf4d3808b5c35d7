"""The certificate as a page, parity.html: self-contained, without scripts, with a policy that forbids any fetch."""

from __future__ import annotations

from pathlib import Path

import jinja2
from pairlift.inputs.labelled import describe_left_out
from pairlift_export.certificate import ArtefactParity, Parity, VariantParity
from pairlift_export.charts import make_histogram, make_scatter
from pairlift_export.parity import COMPANION_TOLERANCE, NO_ACCURACY_GATE

TEMPLATES = Path(__file__).parent / "templates"
SHOWN_FLIPS = 50
SHOWN_TEXT = 300

Rows = list[list[str]]


def draw_page(parity: Parity) -> str:
    """Return the page of a certificate; every number on it comes from the certificate."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    tolerance = min(artefact.tolerance for artefact in parity.artefacts.values() if artefact.tolerance is not None)
    differences = {name: artefact.differences for name, artefact in parity.artefacts.items()}
    variants = {name: artefact.variant for name, artefact in parity.artefacts.items() if artefact.variant}
    return environment.get_template("parity.html").render(
        parity=parity,
        agreement=_agreement(parity),
        histogram=make_histogram(differences, tolerance),
        scatter=make_scatter(parity.margins, differences, tolerance),
        sizes=_sizes(parity),
        variants=variants,
        shapes={name: _shapes(variant) for name, variant in variants.items()},
        companion_tolerance=COMPANION_TOLERANCE,
        left_out=describe_left_out(parity.rows_left_out) if parity.rows_left_out else "",
        no_accuracy_gate=NO_ACCURACY_GATE,
        flips=_flips(parity),
        worst=_worst(parity),
    )


def _agreement(parity: Parity) -> Rows:
    rows = [["Keras", *[""] * 10, _share(parity.keras_accuracy)]]
    for name, a in parity.artefacts.items():
        spreads = [f"{v:.1e}" for s in (a.probabilities, a.logits) for v in (s.max, s.mean, s.p99, s.p999)]
        rows.append([name, f"{a.same_label} / {parity.pairs}", *spreads, _limit(a), _share(a.accuracy)])
    return rows


def _sizes(parity: Parity) -> Rows:
    rows = []
    for name, artefact in parity.artefacts.items():
        v = artefact.variant
        speed = [f"{v.pairs_per_second:.0f}", str(v.threads)] if v else ["not a variant of the runner", ""]
        rows.append([name, f"{artefact.size / 1e6:.2f} MB", *speed])
    return rows


def _shapes(variant: VariantParity) -> tuple[list[str], Rows]:
    batches = list(dict.fromkeys(s.batch for s in variant.shapes))
    lengths = list(dict.fromkeys(s.length for s in variant.shapes))
    found = {(s.length, s.batch): f"{s.max:.1e}" for s in variant.shapes}
    head = ["", *(f"{batch} rows" if batch > 1 else "1 row" for batch in batches)]
    return head, [[f"{length} tokens", *(found.get((length, batch), "") for batch in batches)] for length in lengths]


def _flips(parity: Parity) -> Rows:
    return [
        [name, flip.first[:SHOWN_TEXT], flip.second[:SHOWN_TEXT], f"{flip.expected} → {flip.found}", f"{flip.expected_margin:.2e} → {flip.found_margin:.2e}"]
        for name, artefact in parity.artefacts.items()
        for flip in artefact.flips[:SHOWN_FLIPS]
    ]  # fmt: skip


def _worst(parity: Parity) -> Rows:
    return [
        [name, a.worst_first[:SHOWN_TEXT], a.worst_second[:SHOWN_TEXT], f"{a.smallest_tolerance:.1e}"]
        for name, a in parity.artefacts.items()
    ]


def _limit(artefact: ArtefactParity) -> str:
    return "gate" if artefact.tolerance is None else f"{artefact.tolerance:.0e}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
