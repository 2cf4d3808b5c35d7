"""`pairlift score` writes every row once, unchanged and in order, or nothing."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Run
from pairlift.commands.score import score
from pairlift.inputs.options import JobOptions

HEADER = "id,premise,hypothesis\n"
ROWS = [["1", "the dog runs", "a cat"], ["2", 'a "quoted", text', "two\nlines"], ["3", "straße", ""]]
ADDED = ["prediction", "p_entailment", "p_neutral", "p_contradiction"]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A CSV file of three pairs, one with quotes and a line end inside."""
    path = tmp_path / "pairs.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER.strip().split(","), *ROWS])
    return path


def read_csv(path: Path) -> list[list[str]]:
    """Return the fields of each row."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def leftovers(folder: Path) -> list[str]:
    """Return what is there that neither the test nor a complete job made."""
    return [path.name for path in folder.iterdir() if path.name.startswith(".") or ".partial" in path.name]


def test_columns_pass_through_and_scores_follow(pairlift: Run, bundle: Path, pairs: Path, tmp_path: Path) -> None:
    done = pairlift("score", bundle, pairs, tmp_path / "out.csv")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("3 rows scored\nlabels   entailment ")
    header, *rows = read_csv(tmp_path / "out.csv")
    assert header == ["id", "premise", "hypothesis", *ADDED]
    assert [row[:3] for row in rows] == ROWS
    for row in rows:
        probabilities = [float(p) for p in row[4:]]
        assert abs(sum(probabilities) - 1) < 1e-6
        assert row[3] == ADDED[1:][probabilities.index(max(probabilities))].removeprefix("p_")
    assert leftovers(tmp_path) == []


def test_json_lines_pass_through_byte_for_byte(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    line = (
        '{"id": 12345678901234567890, "hypothesis": "a cat", "n": 1.50, "premise": "caf\\u00e9", "x": {"b":1, "a":[]}}'
    )
    (tmp_path / "in.jsonl").write_text(line + "\n\n" + line)
    assert pairlift("score", bundle, tmp_path / "in.jsonl", tmp_path / "out.jsonl").returncode == 0
    written = (tmp_path / "out.jsonl").read_text().splitlines()
    assert len(written) == 2
    assert written[0].startswith(line[:-1] + ',"prediction":"')
    assert list(json.loads(written[0]))[-4:] == ADDED


@pytest.mark.parametrize("kind_in", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("kind_out", ["csv", "tsv", "jsonl"])
def test_any_format_goes_into_any_other(
    pairlift: Run, bundle: Path, tmp_path: Path, kind_in: str, kind_out: str
) -> None:
    source, output = tmp_path / f"in.{kind_in}", tmp_path / f"out.{kind_out}"
    if kind_in == "jsonl":
        source.write_text('{"premise": "the dog", "hypothesis": "a cat"}\n' * 3)
    else:
        source.write_text(
            "premise,hypothesis\nthe dog,a cat\nthe dog,a cat\nthe dog,a cat\n".replace(
                ",", "\t" if kind_in == "tsv" else ","
            )
        )
    assert pairlift("score", bundle, source, output).returncode == 0
    if kind_out == "jsonl":
        rows = [json.loads(line) for line in output.read_text().splitlines()]
    else:
        with output.open(newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t" if kind_out == "tsv" else ","))
    assert [list(row) for row in rows] == [["premise", "hypothesis", *ADDED]] * 3
    assert {row["premise"] for row in rows} == {"the dog"}


def test_a_stream_goes_through(pairlift: Run, bundle: Path) -> None:
    done = pairlift("score", bundle, "-", "-", "--quiet", input='{"premise": "a", "hypothesis": "b"}\n')
    assert done.returncode == 0
    assert json.loads(done.stdout)["prediction"] in ("entailment", "neutral", "contradiction")
    assert done.stderr == ""


def test_other_columns_are_named_with_fields(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("sentence1,sentence2\nthe dog,a cat\n")
    (tmp_path / "ref.csv").write_text("premise,hypothesis\nthe dog,a cat\n")
    named = pairlift(
        "score", bundle, tmp_path / "in.csv", tmp_path / "a.csv", "--fields", "hypothesis=sentence2,premise=sentence1"
    )
    bare = pairlift("score", bundle, tmp_path / "in.csv", tmp_path / "b.csv", "--fields", "sentence2,sentence1")
    pairlift("score", bundle, tmp_path / "ref.csv", tmp_path / "c.csv")
    assert (named.returncode, bare.returncode) == (0, 0)
    assert "fields: hypothesis from sentence2, premise from sentence1" in bare.stderr
    scores = [read_csv(tmp_path / f"{name}.csv")[1][2:] for name in "abc"]
    assert scores[0] == scores[1] == scores[2]


def test_a_bad_row_is_rejected_with_its_reason_and_the_others_are_scored(
    pairlift: Run, bundle: Path, tmp_path: Path
) -> None:
    lines = [
        '{"premise": "a", "hypothesis": "b"}', "{broken", '{"premise": "a"}', '{"premise": 1, "hypothesis": "b"}', "[1]",
        '{"premise": "a", "hypothesis": "b", "prediction": 1}', '{"premise": "\\ud800", "hypothesis": "b"}',
        '{"premise": "c", "hypothesis": "d"}',
    ]  # fmt: skip
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    done = pairlift("score", bundle, tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "2 rows scored, 6 rejected (bad_json 2, column_taken 1, missing_field 1, not_an_object 1, not_text 1)"
    )
    rejects = [json.loads(line) for line in (tmp_path / "out.jsonl.rejects.jsonl").read_text().splitlines()]
    assert [(r["row"], r["line"], r["reason"]) for r in rejects] == [
        (1, 2, "bad_json"), (2, 3, "missing_field"), (3, 4, "not_text"), (4, 5, "not_an_object"), (5, 6, "column_taken"),
        (6, 7, "bad_json"),
    ]  # fmt: skip
    assert rejects[0]["raw"] == "{broken"
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2


def test_a_ragged_row_costs_one_row(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in.tsv").write_text("premise\thypothesis\na\tb\nonly\nc\td\n")
    done = pairlift("score", bundle, tmp_path / "in.tsv", tmp_path / "out.tsv")
    assert done.returncode == 1
    assert "2 rows scored, 1 rejected (ragged_row 1)" in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "code", "message"),
    [
        ("in.csv", "text,hypothesis\na,b\n", 2, "no column 'premise'; found text, hypothesis"),
        ("in.csv", "premis,hypothesis\na,b\n", 2, "did you mean 'premis'?"),
        ("in.csv", "sentence1,sentence2,gold_label\na,b,c\n", 2, "add --fields hypothesis=sentence2,premise=sentence1"),
        ("in.jsonl", '{"text": "a"}\n', 2, "in.jsonl:1: no column 'hypothesis'; found text"),
        ("in.csv", "premise,hypothesis,prediction\na,b,c\n", 2, "has a column 'prediction' already"),
        ("in.csv", "premise,premise,hypothesis\na,b,c\n", 2, "in.csv:1: column 'premise' appears twice"),
        ("in.csv", "", 3, "in.csv: the file is empty, expected a header line"),
        ("in.jsonl", "", 3, "in.jsonl: the file is empty, expected JSON lines"),
        (
            "in.csv",
            'premise,"hypothesis\na,b\n',
            3,
            "in.csv:1: the header is bad_csv: a quote that is opened and not closed",
        ),
        ("in.csv.gz", "premise,hypothesis\n", 3, "cannot be read after line 0 (Not a gzipped file"),
        (
            "in.txt",
            "a",
            2,
            "found extension '.txt', expected one of .csv, .tsv, .jsonl, .parquet, or a text format with .gz or .zst",
        ),
        ("in.csv", None, 3, "in.csv: no such file or directory"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    pairlift: Run, bundle: Path, tmp_path: Path, name: str, content: str | None, code: int, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    done = pairlift("score", bundle, tmp_path / name, tmp_path / "out.csv")
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
    assert message in done.stderr
    assert not (tmp_path / "out.csv").exists()
    assert leftovers(tmp_path) == []


def test_an_existing_output_is_not_touched(pairlift: Run, bundle: Path, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("precious")
    done = pairlift("score", bundle, pairs, tmp_path / "out.csv")
    assert done.returncode == 7
    assert "out.csv: exists and was not made by pairlift; remove it, or choose another name" in done.stderr
    assert (tmp_path / "out.csv").read_text() == "precious"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_a_storage_error(pairlift: Run, bundle: Path, pairs: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pairlift", "score", str(bundle), str(pairs), "-"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 5, done.stderr
    assert "No space left on device" in done.stderr


def test_a_tampered_bundle_scores_nothing(pairlift: Run, bundle: Path, pairs: Path, tmp_path: Path) -> None:
    (bundle / "tokenizer.json").write_text("{}")
    done = pairlift("score", bundle, pairs, tmp_path / "out.csv")
    assert done.returncode == 4
    assert "tokenizer.json: altered since the export" in done.stderr
    assert not (tmp_path / "out.csv").exists()


def test_a_run_is_not_scored_with(pairlift: Run, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").write_text("{}")
    done = pairlift("score", tmp_path / "run", pairs, tmp_path / "out.csv")
    assert done.returncode == 4
    assert "it is a training run: pairlift export it first" in done.stderr


def test_inspect_and_verify_say_what_a_bundle_is(pairlift: Run, bundle: Path) -> None:
    inspected = pairlift("inspect", bundle)
    assert "BertTextClassifier" in inspected.stdout
    assert len(inspected.stdout.splitlines()) <= 10
    assert json.loads(pairlift("inspect", bundle, "--json").stdout)["format"] == 1
    verified = pairlift("verify", bundle, "--all")
    assert verified.returncode == 0
    assert "64 golden pairs agree" in verified.stdout


def test_evaluate_prints_the_metrics_of_a_bundle(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    lines = [
        {"premise": "the dog", "hypothesis": "a cat", "label": label}
        for label in ("entailment", "neutral", "contradiction", "-")
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    metrics = json.loads(pairlift("evaluate", bundle, tmp_path / "in.jsonl", "--json").stdout)
    assert (metrics["rows"], metrics["correct"]) == (3, 1)
    assert sum(map(sum, metrics["confusion"])) == 3
    assert "calibration error" in pairlift("evaluate", bundle, tmp_path / "in.jsonl").stdout


def test_an_unknown_label_is_named(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"premise": "a", "hypothesis": "b", "label": "maybe"}\n')
    done = pairlift("evaluate", bundle, tmp_path / "in.jsonl")
    assert done.returncode == 3
    assert "unknown label 'maybe' in 1 rows, expected one of entailment, neutral, contradiction" in done.stderr


@pytest.mark.parametrize(("limit", "code"), [("1", 6), ("2", 1), ("30%", 6), ("50%", 1), ("0", 6)])
def test_too_many_rejects_are_an_error_and_what_is_done_is_kept(
    pairlift: Run, bundle: Path, tmp_path: Path, limit: str, code: int
) -> None:
    (tmp_path / "in.jsonl").write_text(
        '{"premise": "a", "hypothesis": "b"}\n{bad\n{bad\n{"premise": "a", "hypothesis": "b"}\n'
    )
    done = pairlift("score", bundle, tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--max-rejects", limit)
    assert done.returncode == code, done.stderr
    assert (tmp_path / "out.jsonl").exists() == (code == 1)
    if code == 6:
        assert (
            f"2 of 4 rows are rejected (bad_json 2), expected at most {limit}; fix the input and add --restart"
            in done.stderr
        )
        again = pairlift("score", bundle, tmp_path / "in.jsonl", tmp_path / "out.jsonl")
        assert "4 rows were done by an earlier run" in again.stderr


@pytest.mark.parametrize("limit", ["many", "-1", "200%", "%"])
def test_a_limit_that_is_no_number_is_refused(
    pairlift: Run, bundle: Path, pairs: Path, tmp_path: Path, limit: str
) -> None:
    done = pairlift("score", bundle, pairs, tmp_path / "out.csv", f"--max-rejects={limit}")
    assert done.returncode == 2
    assert f"--max-rejects {limit}: expected a number of rows, or a share of them such as 2.5%" in done.stderr


def test_private_records_are_kept_out_of_the_rejects(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"premise": "a", "hypothesis": "b"}\nsecret\n')
    assert pairlift("score", bundle, tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--no-raw").returncode == 1
    rejected = json.loads((tmp_path / "out.jsonl.rejects.jsonl").read_text())
    assert "raw" not in rejected
    assert (rejected["line"], rejected["bytes"], rejected["reason"]) == (2, [36, 43], "bad_json")
    assert "secret" not in (tmp_path / "out.jsonl.rejects.jsonl").read_text()


def test_chunks_have_the_rows_that_were_asked_for(pairlift: Run, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"premise": "the dog", "hypothesis": "a cat"}\n' * 25)
    assert pairlift("score", "--chunk-rows", 10, bundle, tmp_path / "in.jsonl", f"{tmp_path}/out/").returncode == 0
    parts = sorted((tmp_path / "out").glob("part-*"))
    assert [part.name.split("-")[2] for part in parts] == [f"{row:012}" for row in (0, 10, 20)]
    assert [len(part.read_text().splitlines()) for part in parts] == [10, 10, 5]


def test_the_chunks_of_the_command_and_of_python_are_the_same_by_default() -> None:
    default = next(option.default for option in score.params if option.name == "chunk_rows")
    assert default == JobOptions().chunk_rows
