"""What a job says of its rows is true, whatever the chunks and however often it was stopped."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from conftest import Run, score_small
from pairlift import Scorer
from pairlift.encoding.counts import Counts, Tally
from pairlift.jobs.job import score_file
from pairlift.jobs.progress import LINE_SECONDS, Log, Step, make_progress
from pairlift.machine import read_peak_memory

UNKNOWN = "猫"  # not in the small bundle's vocabulary


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Six rows: two duplicates, one too long, one broken, one with unknown words."""
    rows = [("dog", "cat"), ("dog", "cat"), ("dog " * 40, "cat"), (UNKNOWN, f"{UNKNOWN} dog"), ("dog", "cat")]
    lines = [json.dumps({"premise": p, "hypothesis": h}) for p, h in rows]
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join([*lines[:2], "{broken", *lines[2:]]) + "\n")
    return path


def test_the_manifest_counts_what_was_there(bundle: Path, pairs: Path, tmp_path: Path) -> None:
    scorer = Scorer.open(bundle)
    outcome = score_file(scorer, str(pairs), str(tmp_path / "out.jsonl"))
    limit = scorer.bundle.manifest.packing.sequence_length
    ids = scorer.token_ids([("cat", "dog"), ("cat", "dog " * 40), (f"{UNKNOWN} dog", UNKNOWN)])
    scorer.close()
    lengths = [len(ids[0]), limit, len(ids[2])]
    texts = outcome.totals.texts
    assert (texts.truncated, texts.duplicates, texts.unknown_tokens) == (1, 2, 2)
    of_dog_cat = lengths[0] - 3
    assert texts.tokens == 3 * of_dog_cat + (40 * (of_dog_cat - 1) + 1) + (lengths[2] - 3)
    assert texts.lost_tokens == 40 * (of_dog_cat - 1) + 1 - (limit - 3)
    assert texts.cells - texts.padding == sum(lengths)
    predicted = [json.loads(line)["prediction"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {label: n for label, n in outcome.totals.predicted.items() if n} == {
        p: predicted.count(p) for p in predicted
    }
    manifest = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())
    assert manifest["totals"]["rows"] == 6
    assert manifest["totals"]["rejected"] == {"bad_json": 1}
    assert manifest["totals"]["texts"]["duplicates"] == 2
    assert manifest["rates"]["unknown_tokens"] == pytest.approx(2 / texts.tokens)
    assert manifest["last_run"]["threads"] == scorer.threads
    assert 20e6 < manifest["last_run"]["peak_memory"] < 1.1 * read_peak_memory()  # the kernel counts in steps


def test_totals_are_the_same_after_a_stop(bundle: Path, pairs: Path, tmp_path: Path) -> None:
    scorer = Scorer.open(bundle)
    whole = score_small(scorer, pairs, tmp_path / "whole.jsonl", chunk_rows=2)

    def stop(step: Step) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_small(scorer, pairs, tmp_path / "out.jsonl", chunk_rows=2, progress=stop)
    again = score_small(scorer, pairs, tmp_path / "out.jsonl", chunk_rows=2)
    scorer.close()
    assert again.resumed == 2
    assert again.totals == whole.totals


def test_the_summary_says_it_all(pairlift: Run, bundle: Path, pairs: Path, tmp_path: Path) -> None:
    done = pairlift("score", bundle, pairs, tmp_path / "out.jsonl")
    first, labels, texts, run, of_bundle, output = done.stderr.splitlines()
    assert first.startswith("5 rows scored, 1 rejected (bad_json 1): in ")
    assert labels.startswith("labels   entailment ")
    assert texts.startswith("texts    1 rows truncated (")
    assert "2 duplicates" in texts
    assert " rows/s, " in run
    assert "fp32; pairlift " in of_bundle
    manifest = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())
    assert output.endswith(manifest["output_sha256"])
    assert pairlift("score", bundle, pairs, tmp_path / "more.jsonl", "--quiet").stderr == ""


def test_tallies_add_up() -> None:
    one = Tally(rows=3, scored=2, rejected={"b": 1}, predicted={"no": 2, "yes": 0}, texts=Counts(tokens=5))
    other = Tally(rows=2, scored=1, rejected={"a": 1}, predicted={"no": 0, "yes": 1}, texts=Counts(tokens=2, padding=1))
    assert one + other == Tally(
        rows=5, scored=3, rejected={"a": 1, "b": 1}, predicted={"no": 2, "yes": 1}, texts=Counts(tokens=7, padding=1)
    )
    assert one + Tally() == one
    assert (Counts().unknown_rate, Counts().padding_rate) == (0.0, 0.0)


def test_a_log_gets_a_line_every_half_minute(capsys: pytest.CaptureFixture[str]) -> None:
    clock = [0.0]
    log = Log(now=lambda: clock[0])
    log(Step(rows=1000, rejected=0, total=10_000, resumed=True))
    for seconds in (10, LINE_SECONDS, LINE_SECONDS + 5, 2 * LINE_SECONDS):
        clock[0] = seconds
        log(Step(rows=1000, rejected=2, total=None if seconds == 2 * LINE_SECONDS else 303_000))
    assert capsys.readouterr().err.splitlines() == [
        "3,000 rows of about 303,000 (1%), 2 rejected, 67 rows/s, about 1 h 15 min left",
        "5,000 rows, 2 rejected, 67 rows/s",
    ]


def test_progress_is_a_log_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_progress(), Log)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bar = make_progress()
    bar(Step(rows=10, rejected=1, total=100, resumed=True))
    bar(Step(rows=10, rejected=1, total=120))
    assert (bar._bar.n, bar._bar.initial, bar._bar.total, bar._bar.postfix) == (20, 10, 120, "1 rejected")  # type: ignore[union-attr]
    bar.close()


def test_what_is_left_is_estimated_from_the_share_that_is_read(bundle: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"premise": f"dog {i:06}", "hypothesis": "cat"}) + "\n" for i in range(10_000)]
    (tmp_path / "in.jsonl").write_text("".join(lines))
    steps: list[Step] = []
    scorer = Scorer.open(bundle)
    score_file(scorer, str(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl"), progress=steps.append)
    scorer.close()
    assert [step.rows for step in steps] == [4096, 4096, 1808]
    assert all(step.total == pytest.approx(10_000, rel=0.02) for step in steps)
