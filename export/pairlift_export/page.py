"""The certificate as a page, parity.html: self-contained, without scripts, and forbidden by its own policy to fetch anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from pairlift.labelled import describe_left_out
from pairlift_export.certificate import ArtefactParity, Counts, Parity
from pairlift_export.charts import draw_histogram, draw_scatter
from pairlift_export.parity import COMPANION_TOLERANCE, NO_ACCURACY_GATE

VERDICT = "Passed: from raw text to label, every artefact agrees with Keras within its tolerance or its gate."
SHOWN_FLIPS = 50
SHOWN_TEXT = 300

STYLE = """
:root{--ground:#fcfcfa;--card:#fff;--ink:#1d2530;--dim:#5b6675;--line:#dde2e8;--s0:#2f6fb0;--s1:#d9822b;--s2:#3b8f5a;--good:#23794a;--warm:47,111,176}
@media(prefers-color-scheme:dark){:root{--ground:#14181d;--card:#1b2128;--ink:#e6eaef;--dim:#9aa6b4;--line:#323b46;--s0:#6aa9e6;--s1:#f0a35a;--s2:#6cc48e;--good:#6cc48e;--warm:106,169,230}}
*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1120px;margin:0 auto;padding:32px 20px 48px}h1{font-size:26px;margin:0}h2{font-size:16px;margin:0 0 10px}
p{margin:6px 0}.dim{color:var(--dim)}.verdict{color:var(--good);font-weight:600}
.tiles,.row{display:grid;gap:14px;margin:18px 0}.tiles{grid-template-columns:repeat(auto-fit,minmax(170px,1fr))}
.row{grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr))}
section{margin:14px 0}.row section{margin:0}section,.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px;min-width:0;overflow-x:auto}
.tile b{display:block;font-size:24px;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{padding:5px 5px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--dim);font-weight:500}th:first-child,td:first-child{text-align:left}td.text{white-space:pre-wrap;text-align:left;overflow-wrap:anywhere}
.matrices{display:flex;flex-wrap:wrap;gap:22px}.matrices table{width:auto}caption{text-align:left;font-weight:600;padding-bottom:6px}
svg{width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:var(--dim)}.grid{stroke:var(--line)}.axis{stroke:var(--dim)}
.limit{stroke:var(--ink);stroke-dasharray:4 3}.flip{fill:none;stroke:var(--dim);stroke-dasharray:1 3}
.s0{fill:var(--s0)}.s1{fill:var(--s1)}.s2{fill:var(--s2)}circle{fill-opacity:.65}
.key span{display:inline-block;margin-right:16px}.key i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:6px}
.key .s0{background:var(--s0)}.key .s1{background:var(--s1)}.key .s2{background:var(--s2)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 18px;margin:0}dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}
"""


def draw_page(parity: Parity) -> str:
    """Return the page of a certificate; every number on it is the certificate's."""
    tolerance = min(artefact.tolerance for artefact in parity.artefacts.values() if artefact.tolerance is not None)
    differences = {name: artefact.differences for name, artefact in parity.artefacts.items()}
    body = [
        f"<h1>{escape(parity.model)}: parity</h1>",
        f'<p class="verdict">{VERDICT}</p>',
        *(f'<p class="dim">{escape(name)} is left out: {escape(why)}</p>' for name, why in parity.left_out.items()),
        f'<p class="dim">{escape(parity.time)} · {parity.pairs} pairs ({escape(parity.pairs_source)}; '
        f"{parity.hard_pairs} of the built-in hard corpus{_left_out(parity)}) · model.keras sha256 {escape(parity.model_sha256)}</p>",
        _tiles(parity),
        _section("Agreement with Keras, on raw text", _agreement(parity) + _notes(parity)),
        '<div class="row">',
        _section("Distribution of differences", _key(parity) + draw_histogram(differences, tolerance)),
        _section("Margin against difference", _key(parity) + draw_scatter(parity.margins, differences, tolerance)),
        "</div>",
        _matrices(parity),
        _section("Sizes and speeds", _sizes(parity)),
        *(_shapes(parity, name) for name in parity.artefacts),
        _section("Flipped labels", _flips(parity)),
        _section("Worst pairs", _worst(parity)),
        _section("Made with", _versions(parity)),
    ]
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(parity.model)}: parity</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _tiles(parity: Parity) -> str:
    tiles = [("token ids equal", f"{parity.tokens.equal} / {parity.tokens.compared}")]
    for name, artefact in parity.artefacts.items():
        tiles.append((f"{name}: labels the same", f"{artefact.same_label} / {parity.pairs}"))
        tiles.append((f"{name}: largest difference", f"{artefact.probabilities.max:.1e}"))
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile"><b>{value}</b><span class="dim">{escape(what)}</span></div>' for what, value in tiles
        )
        + "</div>"
    )


def _agreement(parity: Parity) -> str:
    head = (
        "artefact",
        "labels the same",
        "max |Δp|",
        "mean",
        "p99",
        "p99.9",
        "max |Δlogit|",
        "mean",
        "p99",
        "p99.9",
        "tolerance",
        "accuracy",
    )
    rows = [["Keras", *[""] * 10, _share(parity.keras_accuracy)]]
    for name, a in parity.artefacts.items():
        spreads = [f"{v:.1e}" for s in (a.probabilities, a.logits) for v in (s.max, s.mean, s.p99, s.p999)]
        rows.append([name, f"{a.same_label} / {parity.pairs}", *spreads, _limit(a), _share(a.accuracy)])
    return _table(head, rows)


def _matrices(parity: Parity) -> str:
    agreement = [(f"{name} (columns) and Keras (rows)", a.agreement) for name, a in parity.artefacts.items()]
    confusion = [("Keras", parity.keras_confusion), *((name, a.confusion) for name, a in parity.artefacts.items())]
    parts = _section("Labels given, side by side", _matrix_row(parity, agreement))
    if parity.labelled_pairs:
        title = f"Confusion on the {parity.labelled_pairs} labelled pairs (rows: true label)"
        parts += "\n" + _section(title, _matrix_row(parity, confusion))
    return parts


def _matrix_row(parity: Parity, matrices: Iterable[tuple[str, Counts]]) -> str:
    return (
        '<div class="matrices">' + "".join(_matrix(name, parity.labels, counts) for name, counts in matrices) + "</div>"
    )


def _matrix(name: str, labels: Sequence[str], counts: Counts) -> str:
    top = max([1, *(n for row in counts for n in row)])
    head = "".join(f"<th>{escape(label)}</th>" for label in labels)
    rows = "".join(
        f"<tr><th>{escape(label)}</th>"
        + "".join(f'<td style="background:rgba(var(--warm),{0.45 * n / top:.2f})">{n}</td>' for n in row)
        + "</tr>"
        for label, row in zip(labels, counts, strict=True)
    )
    return f"<table><caption>{escape(name)}</caption><tr><th></th>{head}</tr>{rows}</table>"


def _sizes(parity: Parity) -> str:
    rows = []
    for name, artefact in parity.artefacts.items():
        v = artefact.variant
        speed = [f"{v.pairs_per_second:.0f}", str(v.threads)] if v else ["not a variant of the runner", ""]
        rows.append([name, f"{artefact.size / 1e6:.2f} MB", *speed])
    return _table(("artefact", "size", "pairs a second, from raw text", "threads"), rows)


def _shapes(parity: Parity, name: str) -> str:
    variant = parity.artefacts[name].variant
    if variant is None:
        return ""
    batches = list(dict.fromkeys(s.batch for s in variant.shapes))
    lengths = list(dict.fromkeys(s.length for s in variant.shapes))
    found = {(s.length, s.batch): f"{s.max:.1e}" for s in variant.shapes}
    rows = [[f"{length} tokens", *(found.get((length, batch), "") for batch in batches)] for length in lengths]
    moved = variant.invariance
    text = (
        f"<p>The same {moved.rows} rows, against themselves in one batch: alone {moved.alone:.1e}, in other orders {moved.order:.1e} "
        f"(at most {COMPANION_TOLERANCE:.0e}); with the most padding {moved.padding:.1e}.</p>"
    )
    return _section(
        f"{name}: largest difference from Keras by the shape of the batch",
        _table(("", *(f"{batch} rows" if batch > 1 else "1 row" for batch in batches)), rows) + text,
    )


def _flips(parity: Parity) -> str:
    rows = [
        [name, flip.first[:SHOWN_TEXT], flip.second[:SHOWN_TEXT], f"{flip.expected} → {flip.found}", f"{flip.expected_margin:.2e} → {flip.found_margin:.2e}"]
        for name, artefact in parity.artefacts.items()
        for flip in artefact.flips[:SHOWN_FLIPS]
    ]  # fmt: skip
    return _table(("artefact", "first", "second", "label", "margin"), rows, (1, 2)) if rows else "<p>None.</p>"


def _worst(parity: Parity) -> str:
    rows = [
        [name, a.worst_first[:SHOWN_TEXT], a.worst_second[:SHOWN_TEXT], f"{a.smallest_tolerance:.1e}"]
        for name, a in parity.artefacts.items()
    ]
    return _table(("artefact", "first", "second", "smallest tolerance that passes"), rows, (1, 2))


def _versions(parity: Parity) -> str:
    facts = {
        "processor": parity.cpu,
        "instruction sets": " ".join(parity.cpu_flags),
        "onnxruntime build": parity.onnxruntime_build,
        "versions": ", ".join(f"{name} {version}" for name, version in sorted(parity.versions.items())),
    }
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{escape(fact)}</dd>" for name, fact in facts.items()) + "</dl>"


def _key(parity: Parity) -> str:
    return (
        '<p class="key">'
        + "".join(f'<span><i class="s{k}"></i>{escape(n)}</span>' for k, n in enumerate(parity.artefacts))
        + "</p>"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], texts: tuple[int, ...] = ()) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join(
        "<tr>"
        + "".join(f"<td{' class=text' if i in texts else ''}>{escape(cell)}</td>" for i, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{top}</tr>{lines}</table>"


def _limit(artefact: ArtefactParity) -> str:
    return "gate" if artefact.tolerance is None else f"{artefact.tolerance:.0e}"


def _notes(parity: Parity) -> str:
    notes = [
        f"{name}: ranges measured on {parity.calibration_pairs} pairs; gate: at most {a.gate.most_flips:.1%} of the labels flipped "
        f"({len(a.flips) / parity.pairs:.1%} were) and {a.gate.most_drop:.1%} of accuracy lost{_drop(a)}."
        for name, a in parity.artefacts.items()
        if a.gate is not None
    ]
    if parity.cross_check is not None:
        notes.append(
            f"The ONNX graph is built from the weights; tf2onnx's graph of the same model differs by at most "
            f"{parity.cross_check.max:.1e} in probability over {parity.cross_check.pairs} pairs."
        )
    return "".join(f'<p class="dim">{escape(note)}</p>' for note in notes)


def _drop(artefact: ArtefactParity) -> str:
    return f"; {NO_ACCURACY_GATE}" if artefact.drop is None else f" ({artefact.drop:.1%} was)"


def _left_out(parity: Parity) -> str:
    return f"; {describe_left_out(parity.rows_left_out)}" if parity.rows_left_out else ""


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
