"""Labelled pairs are read alike for training, evaluation and the export, and what is left out is counted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pairlift.errors import InputError, UsageError
from pairlift.inputs.labelled import check_labels, collect, describe_left_out, label_text, read_labelled

FIELDS = ("hypothesis", "premise")


def write(path: Path, labels: list[Any]) -> Path:
    """Write pairs with labels, in the format that the name says."""
    rows = [{"premise": f"p{i}", "hypothesis": f"h{i}", "label": label} for i, label in enumerate(labels)]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        lines = [f"{row['premise']},{row['hypothesis']},{row['label']}" for row in rows]
        path.write_text("\n".join(["premise,hypothesis,label", *lines]) + "\n")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("labels", "read"),
    [
        ([0, 1, 2, -1], ["0", "1", "2", None]),
        ([0.5, 1.0], ["0.5", "1.0"]),
        ([True, False], ["True", "False"]),
        (["neutral", " yes ", "-", "None", "null"], ["neutral", "yes", None, None, None]),
    ],
)
def test_a_label_of_any_type_is_text(tmp_path: Path, suffix: str, labels: list[Any], read: list[str | None]) -> None:
    found = read_labelled(str(write(tmp_path / f"a.{suffix}", labels)), FIELDS)
    assert found.labels == read
    assert found.pairs == [(f"h{i}", f"p{i}") for i in range(len(labels))]
    assert found.left_out == {}


def test_a_whole_number_is_a_place_among_the_data_sets_own_names() -> None:
    names = ("no", "yes")
    assert [label_text(label, names) for label in (1, 0, -1, 2, True, "1")] == ["yes", "no", None, None, "True", "1"]
    assert collect([(("a", "b"), 1), (("c", "d"), -1)], names).labels == ["yes", None]


def test_rows_that_hold_no_pair_are_counted_by_reason(tmp_path: Path) -> None:
    rows = [{"premise": "p", "hypothesis": "h", "label": 1}, {"premise": "p", "hypothesis": None, "label": 1}]
    lines = [json.dumps(row) for row in rows] + ["{broken"] * 2 + ["[]", '{"premise": "p", "hypothesis": "h"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    found = read_labelled(str(tmp_path / "a.jsonl"), FIELDS)
    assert (found.pairs, found.labels) == ([("h", "p")] * 2, ["1", None])
    assert found.left_out == {"bad_json": 2, "not_an_object": 1, "not_text": 1}
    assert describe_left_out(found.left_out) == "4 rows left out: bad_json 2, not_an_object 1, not_text 1"
    assert describe_left_out({"bad_json": 1}) == "1 row left out: bad_json 1"


def test_a_label_column_may_be_missing_only_where_labels_are_optional_and_it_is_not_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("premise,hypothesis\np,h\n")
    path = str(tmp_path / "a.csv")
    with pytest.raises(UsageError, match="no label column 'label'; found premise, hypothesis; say which it is"):
        read_labelled(path, FIELDS)
    assert read_labelled(path, FIELDS, optional=True).labels == [None]
    with pytest.raises(UsageError, match="no label column 'truth'"):
        read_labelled(path, FIELDS, label="truth", optional=True)


def test_a_label_that_the_model_lacks_is_named() -> None:
    check_labels(["yes", None, "no"], ("no", "yes"), "a.csv")
    with pytest.raises(InputError, match=r"^a.csv: unknown label 'perhaps' in 2 rows, expected one of no, yes$"):
        check_labels(["perhaps", "yes", None, "perhaps"], ("no", "yes"), "a.csv")


def test_reading_labelled_pairs_takes_neither_a_bundle_nor_a_scorer() -> None:
    code = "import sys, pairlift.inputs.labelled; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"pairlift.model.bundle", "pairlift.model.scorer", "onnxruntime"}
