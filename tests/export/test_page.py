"""parity.html shows the certificate, all of it from parity.json, and fetches nothing."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import threading
from html import unescape
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import jinja2
import pytest
from pairlift_export.certificate import (
    ArtefactParity,
    CrossCheck,
    Flip,
    Gate,
    Invariance,
    Parity,
    ShapeParity,
    Spread,
    TokenParity,
    VariantParity,
)
from pairlift_export.page import draw_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
HOSTILE = "<script>document.title='taken'</script><img src='http://127.0.0.1:{port}/x'>\u202e & \"quoted\""


def certificate(text: str = "a & b", flips: tuple[Flip, ...] = (), drop: float | None = 0.0056) -> Parity:
    """Return a certificate whose numbers are all different."""
    differences = (1e-8, 3.21e-7, 4.56e-6)
    artefact = ArtefactParity(
        logits=Spread(max=1.23e-6, mean=2.34e-7, p99=1.11e-6, p999=1.22e-6),
        probabilities=Spread(max=4.56e-6, mean=5.67e-7, p99=4.44e-6, p999=4.55e-6),
        differences=differences, same_label=3 - len(flips), flips=flips, agreement=((2, 0), (0, 1)), confusion=((7, 13), (17, 19)),
        smallest_tolerance=4.56e-6, tolerance=1e-5, worst_first=text, worst_second="worst", accuracy=0.6789, size=3_210_000,
    )  # fmt: skip
    variant = VariantParity(
        shapes=(ShapeParity(batch=1, length=5, max=7.77e-8), ShapeParity(batch=32, length=5, max=8.88e-8)),
        invariance=Invariance(rows=31, alone=1.5e-7, order=2.5e-7, padding=3.5e-7), pairs_per_second=4321.0, threads=2,
    )  # fmt: skip
    return Parity(
        model=text, model_sha256="0" * 64, labels=("yes", text), pairs=3, pairs_source=text, rows_left_out={"bad_json": 21}, hard_pairs=1, labelled_pairs=56,
        keras_accuracy=0.6791, keras_confusion=((8, 12), (16, 20)), margins=(0.1, 0.5, 0.9), tokens=TokenParity(compared=1049, equal=1049),
        artefacts={
            "saved_model": artefact,
            "fp32": dataclasses.replace(artefact, variant=variant),
            "int8": dataclasses.replace(
                artefact, variant=variant, tolerance=None, gate=Gate(most_flips=0.0345, most_drop=0.0123), drop=drop
            ),
        },
        left_out={"other": "a reason"}, cross_check=CrossCheck(pairs=23, max=6.66e-8), calibration_pairs=137, time="2026-01-02T03:04:05Z",
        cpu="A CPU", cpu_flags=("avx2",), onnxruntime_build="a build", versions={"keras": "3.15.1"},
    )  # fmt: skip


def render(page: Path, *options: str) -> str:
    """Return what a headless browser makes of a page."""
    assert CHROMIUM is not None
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", f"--user-data-dir={page.parent / 'profile'}"]  # fmt: skip
    done = subprocess.run([CHROMIUM, *flags, *options, page.as_uri()], capture_output=True, timeout=120, check=True)
    return done.stdout.decode()


def cells(html: str) -> list[str]:
    """Return the texts of all table cells."""
    return [unescape(re.sub(r"<[^>]+>", "", cell)) for cell in re.findall(r"<td[^>]*>(.*?)</td>", html, re.DOTALL)]


def test_every_number_of_the_certificate_is_on_the_page() -> None:
    found = cells(draw_page(certificate()))
    for number in ("4.6e-06", "5.7e-07", "4.4e-06", "1.2e-06", "2.3e-07", "1e-05", "0.6789", "0.6791", "3.21 MB", "4321", "7.8e-08", "8.9e-08"):  # fmt: skip
        assert number in found
    assert {"7", "13", "17", "19", "8", "12", "16", "20"} <= set(found)
    page = draw_page(certificate())
    assert (
        "ranges measured on 137 pairs; gate: at most 3.5% of the labels flipped (0.0% were) and 1.2% of accuracy lost (0.6% was)."
        in page
    )
    assert "1 of the built-in hard corpus; 21 rows left out: bad_json 21)" in page
    assert "differs by at most 6.7e-08 in probability over 23 pairs" in page
    assert "other is left out: a reason" in page
    assert "1049 / 1049" in page
    assert "alone 1.5e-07, in other orders 2.5e-07 (at most 1e-06); with the most padding 3.5e-07" in page


def test_a_gate_on_accuracy_that_was_not_applied_is_said_to_be_so() -> None:
    expected = "of accuracy lost; the accuracy gate was not applied: no pair has one of the model&#39;s labels."
    assert expected in draw_page(certificate(drop=None))
    assert "was not applied" not in draw_page(certificate())


class Nesting(HTMLParser):
    """Holds every end tag to the start tag that it ends."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in {"meta", "link"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        """Take what begins and ends in one tag for nothing."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()


def few(parity: Parity) -> Parity:
    """Return a certificate without all that may be missing."""
    artefacts = {
        name: dataclasses.replace(a, accuracy=None, gate=None, variant=None) for name, a in parity.artefacts.items()
    }
    return dataclasses.replace(
        parity, labelled_pairs=0, keras_accuracy=None, left_out={}, cross_check=None, artefacts=artefacts
    )


FLIP = Flip(first="one", second="two", expected="yes", found="no", expected_margin=1.25e-7, found_margin=2.5e-7)


@pytest.mark.parametrize("parity", [certificate(), certificate(HOSTILE, (FLIP,)), few(certificate())])
def test_every_element_that_begins_ends_in_its_place(parity: Parity) -> None:
    nesting = Nesting()
    nesting.feed(draw_page(parity))
    nesting.close()
    assert nesting.open == []


def test_what_the_certificate_lacks_is_not_on_the_page() -> None:
    page = draw_page(few(certificate()))
    for words in ("labelled pairs", "is left out", "tf2onnx", "gate: at most", "by the shape of the batch"):
        assert words not in page
    assert page.count("not a variant of the runner") == 3


def test_a_page_with_a_name_that_nothing_gives_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "parity.html").write_text("{{ parity.no_such_number }}")
    monkeypatch.setattr("pairlift_export.page.TEMPLATES", tmp_path)
    with pytest.raises(jinja2.UndefinedError, match="no_such_number"):
        draw_page(certificate())


def test_each_pair_is_a_point_of_each_artefact() -> None:
    page = draw_page(certificate())
    assert page.count("<circle") == 9
    assert page.count("fp32: margin 0.5, difference 3.21e-07") == 1
    assert sum(int(n) for n in re.findall(r"<title>fp32: (\d+) pairs from", page)) == 3


def test_a_flip_is_shown_with_both_margins() -> None:
    found = cells(draw_page(certificate(flips=(FLIP,))))
    assert found.count("yes → no") == 3
    assert found.count("1.25e-07 → 2.50e-07") == 3


def test_texts_are_escaped_and_nothing_is_referred_to() -> None:
    page = draw_page(certificate(HOSTILE))
    assert "<script" not in page
    assert "<img" not in page
    assert "default-src 'none'" in page
    assert not re.search(r"(?:src|href)=[\"'](?!data:,)|url\(|@import", page)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_a_browser_renders_it_and_fetches_nothing(tmp_path: Path) -> None:
    asked: list[str] = []

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Listener)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        page = tmp_path / "parity.html"
        page.write_text(draw_page(certificate(HOSTILE.format(port=server.server_port))), encoding="utf-8")
        dom = render(page, "--dump-dom")
        render(page, f"--screenshot={tmp_path / 'page.png'}", "--window-size=1100,2000")
        control = tmp_path / "control.html"
        control.write_text(f"<img src='http://127.0.0.1:{server.server_port}/seen'>")
        render(control, "--dump-dom")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert asked == ["/seen"], "the page fetched something, or the listener hears nothing"
    assert "<title>taken" not in dom
    assert cells(dom) == cells(page.read_text(encoding="utf-8"))
    assert len((tmp_path / "page.png").read_bytes()) > 50_000, "a blank page is smaller"
