"""Several files as one job: the same promises as of one, as if their rows stood one after the other."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bucket import Bucket, bucket, moto_port
from conftest import SMALL_BUNDLE, SMALL_CHUNKS, Run, score_small
from pairlift import Scorer, formats
from pairlift.errors import ChangedError, InputError, UsageError
from pairlift.inputs import names as inputs
from pairlift.inputs.names import check_apart, common_folder, find_inputs, stamp_inputs
from pairlift.inputs.options import JobOptions
from pairlift.inputs.plan import Descriptor, plan_files, plan_inputs
from pairlift.jobs.progress import Step
from pairlift.jobs.worker import Task, Worker, run_descriptor
from pairlift.names import MARK, Names
from pairlift.outputs.keeper import Keeper
from pairlift.storage.open import open_input, open_store
from pairlift.storage.stamp import Input, read_stamp

__all__ = ["bucket", "moto_port"]
ROWS = (40, 0, 16, 1, 33)  # of each input; chunks have 16


@pytest.fixture(params=["together", "apart"])
def lots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Small inputs, read as one; and inputs that are too large for that."""
    if request.param == "apart":
        monkeypatch.setattr(inputs, "LOT_BYTES", 1)
    return str(request.param)


def plan_small(names: Sequence[str]) -> list[Descriptor]:
    """Return the small chunks of a job's inputs."""
    with open_input(names[0]) as file:
        stamped = stamp_inputs(names, read_stamp(file))
    return list(plan_inputs(stamped, formats.format_of(names[0]), SMALL_CHUNKS))


def make_rows(first: int, count: int) -> list[dict[str, str]]:
    """Return rows that are like no others."""
    return [{"premise": f"the dog {i} runs", "hypothesis": "a cat " * (i % 4)} for i in range(first, first + count)]


def write_input(path: Path, rows: Sequence[Mapping[str, object]], broken: bool = True) -> str:
    """Write rows in any format; in text every eleventh is broken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bad = {i for i in range(len(rows)) if broken and i % 11 == 5}
    if ".parquet" in path.suffixes:
        columns = {name: pa.array([row[name] for row in rows], pa.string()) for name in ("premise", "hypothesis")}
        pq.write_table(pa.table(columns), path)
        return str(path)
    if ".csv" in path.suffixes:
        lines = [
            "premise,hypothesis",
            *(str(r["premise"]) if i in bad else ",".join(map(str, r.values())) for i, r in enumerate(rows)),
        ]
    else:
        lines = ["{broken" if i in bad else json.dumps(row) for i, row in enumerate(rows)]
    data = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return str(path)


def write_inputs(folder: Path, suffix: str) -> list[str]:
    """Write five inputs in two folders, one of them without rows; in JSON lines that one is left out."""
    places = [folder / ("a" if i < 2 else "b") / f"{i}{suffix}" for i in range(len(ROWS))]
    kept = [i for i, rows in enumerate(ROWS) if rows or ".jsonl" not in suffix]
    return [write_input(places[i], make_rows(sum(ROWS[:i]), ROWS[i])) for i in kept]


def read_records(path: Path) -> list[object]:
    """Return the rows of a file, values alone."""
    return [dict(row.values) for row in formats.read_rows(str(path))]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".jsonl.gz", ".parquet"])
def test_the_output_has_the_rows_of_all_in_order(scorer: Scorer, lots: str, tmp_path: Path, suffix: str) -> None:
    names = write_inputs(tmp_path / "in", suffix)
    outcome = score_small(scorer, names, tmp_path / f"out{suffix}")
    assert outcome.totals.rows == sum(ROWS)
    alone, refused = [], []
    for i, name in enumerate(names):
        score_small(scorer, name, tmp_path / f"{i}{suffix}")
        alone += read_records(tmp_path / f"{i}{suffix}")
        if (tmp_path / f"{i}{suffix}.rejects.jsonl").exists():
            lines = (tmp_path / f"{i}{suffix}.rejects.jsonl").read_text().splitlines()
            refused += [
                json.loads(line) | {"source": Path(name).relative_to(tmp_path / "in").as_posix()} for line in lines
            ]
    assert read_records(tmp_path / f"out{suffix}") == alone
    if suffix != ".parquet":
        lines = (tmp_path / f"out{suffix}.rejects.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == refused, "each with its file, and its row there"
    told = json.loads((tmp_path / f"out{suffix}.manifest.json").read_text())["job"]["inputs"]
    assert [each["name"] for each in told] == [Path(n).relative_to(tmp_path / "in").as_posix() for n in names]


@pytest.mark.parametrize("output", ["out.jsonl", "out.csv", "parts/"])
def test_a_job_that_stops_after_any_chunk_goes_on_to_the_same_bytes(
    scorer: Scorer, lots: str, tmp_path: Path, output: str
) -> None:
    names = write_inputs(tmp_path / "in", ".jsonl")

    def score(place: Path, chunks: int | None = None) -> dict[str, bytes]:
        class EnoughError(Exception):
            pass

        done = []

        def count(step: Step) -> None:
            done.extend([step] * (not step.resumed))
            if len(done) == chunks:
                raise EnoughError

        place.mkdir(exist_ok=True)
        try:
            score_small(scorer, names, f"{place}/{output}", progress=count)
        except EnoughError:
            assert not (place / output).is_file()
            return {}
        found = {p.relative_to(place).as_posix(): p.read_bytes() for p in place.rglob("*") if p.is_file()}
        return {
            re.sub(rf"(part-\d{{5}}-\d{{12}}|rejects)-{MARK}", r"\1", name): data
            for name, data in found.items()
            if "manifest" not in name
        }

    expected = score(tmp_path / "whole")
    for chunks in range(1, 9 if lots == "apart" else 7):
        assert score(tmp_path / f"{chunks}", chunks) == {}
        score(tmp_path / f"{chunks}", 1)
        assert score(tmp_path / f"{chunks}") == expected


def test_chunks_done_in_any_order_on_their_own_are_the_output(scorer: Scorer, lots: str, tmp_path: Path) -> None:
    names = write_inputs(tmp_path / "in", ".jsonl.gz")
    plan = plan_small(names)
    if lots == "apart":
        assert [(d.lot, d.row, d.rows) for d in plan] == [
            (0, 0, 16), (0, 16, 16), (0, 32, 8), (1, 0, 16), (2, 0, 1), (3, 0, 16), (3, 16, 16), (3, 32, 1),
        ]  # fmt: skip
        pieces = dict.fromkeys((d.spans[0].input, d.spans[0].place.member) for d in plan)
        assert [name for name, _ in pieces] == names
    else:
        assert [(d.lot, d.row, [(names.index(s.input), s.place.row, s.rows) for s in d.spans]) for d in plan] == [
            (0, 0, [(0, 0, 16)]), (0, 16, [(0, 16, 16)]), (0, 32, [(0, 32, 8), (1, 0, 8)]), (0, 48, [(1, 8, 8), (2, 0, 1), (3, 0, 7)]),
            (0, 64, [(3, 7, 16)]), (0, 80, [(3, 23, 10)]),
        ]  # fmt: skip
    only, options = plan_small(names[3:]), JobOptions(chunk_rows=SMALL_CHUNKS)
    for descriptor in random.Random(3).sample(only, len(only)):
        run_descriptor(scorer, descriptor, f"{tmp_path}/parts/", options)
    assert score_small(scorer, names[3], f"{tmp_path}/parts/").resumed == 33
    for descriptor in plan[3:]:
        with pytest.raises(UsageError, match=r"belongs to a job of several inputs, .* plan each input by itself"):
            run_descriptor(scorer, descriptor, f"{tmp_path}/others/", options)
    assert not (tmp_path / "others").exists()


def test_a_worker_that_cannot_have_an_input_goes_on_with_another(scorer: Scorer, lots: str, tmp_path: Path) -> None:
    names = write_inputs(tmp_path / "in", ".csv")
    found, where = formats.format_of(names[0]), Names(output="out.csv")
    plan = plan_small(names)
    task = Task(
        leaders=(Input(name=names[0], stamp=plan[0].spans[0].stamp),), folder=f"{tmp_path}/in/", found=found, written=found,
        options=JobOptions(chunk_rows=SMALL_CHUNKS), runtime={},
        keeper=Keeper(store=open_store(f"{tmp_path}/", where.folder), names=where, mark="0" * 12),
    )  # fmt: skip
    with contextlib.closing(Worker(scorer, task)) as worker:
        gone = next(descriptor for descriptor in plan if descriptor.spans[-1].input == names[2])
        Path(names[2]).unlink()
        with pytest.raises(InputError, match="no such file"):
            list(worker.run(gone))
        assert [receipt.row for receipt in worker.run(plan[0])] == [0]


def test_a_changed_set_of_inputs_is_noticed(scorer: Scorer, tmp_path: Path) -> None:
    names = write_inputs(tmp_path / "in", ".jsonl")
    output = str(tmp_path / "out.jsonl")

    def stop(step: Step) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_small(scorer, names, output, progress=stop)
    with pytest.raises(ChangedError, match=r"the unfinished job differs from this one: inputs \(was 4, is 3\)"):
        score_small(scorer, names[:-1], output)
    write_input(Path(names[2]), make_rows(0, 2))
    with pytest.raises(ChangedError, match=r"differs from this one: input b/3\.jsonl \(was \d+ bytes of .*, is \d+"):
        score_small(scorer, names, output)


@pytest.mark.parametrize("which", [0, 1, 3])
def test_an_input_that_changes_while_others_are_read_is_noticed(
    scorer: Scorer, lots: str, tmp_path: Path, which: int
) -> None:
    names = write_inputs(tmp_path / "in", ".jsonl")
    steps: list[Step] = []

    def change(step: Step) -> None:
        steps.append(step)
        if len(steps) == 4:  # the first input is done, and the third
            write_input(Path(names[which]), make_rows(500, 30))

    with pytest.raises(InputError, match=r"\d\.jsonl: changed while .*; run again when it is complete"):
        score_small(scorer, names, tmp_path / "out.jsonl", progress=change)
    assert not (tmp_path / "out.jsonl").exists()


def test_an_estimate_of_all_rows_is_told_from_the_first_chunk_on(scorer: Scorer, lots: str, tmp_path: Path) -> None:
    for suffix in (".jsonl", ".parquet"):
        names = [write_input(tmp_path / f"{i}{suffix}", make_rows(100, 48), broken=False) for i in range(4)]
        steps: list[Step] = []
        score_small(scorer, names, tmp_path / f"out{suffix}", progress=steps.append)
        assert all(step.total is not None and abs(step.total - 192) < 20 for step in steps[3:])
        assert steps[-1].total == 192


def test_inputs_of_one_job_have_the_same_columns(scorer: Scorer, tmp_path: Path) -> None:
    one = write_input(tmp_path / "1.csv", make_rows(0, 40))
    (tmp_path / "2.csv").write_text("hypothesis,premise\nb,a\n")
    message = (
        r"2\.csv: has columns hypothesis, premise; expected premise, hypothesis, as .*1\.csv has; score it separately"
    )
    steps: list[Step] = []
    for output in ("out.csv", "parts/"):
        with pytest.raises(InputError, match=message):
            score_small(scorer, [one, tmp_path / "2.csv"], f"{tmp_path}/{output}", progress=steps.append)
    with pytest.raises(InputError, match=message):
        list(plan_files([one, str(tmp_path / "2.csv")]))
    first = write_input(tmp_path / "1.parquet", make_rows(0, 3))
    texts = pa.array(["a"], pa.string())
    for field, what in (
        (pa.field("premise", pa.large_string()), "large_string"),
        (pa.field("premise", pa.string(), False), "string not null"),
    ):
        schema = pa.schema([field, ("hypothesis", pa.string())])
        pq.write_table(pa.Table.from_arrays([texts.cast(field.type), texts], schema=schema), tmp_path / "2.parquet")
        with pytest.raises(
            InputError, match=rf"2\.parquet: column 'premise' is {what}; expected string, as .*1\.parquet has"
        ):
            score_small(scorer, [first, tmp_path / "2.parquet"], str(tmp_path / "out.parquet"))
    assert steps == [], "nothing is done before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.csv", "1.parquet", "2.csv", "2.parquet", "parts"]
    left = [path.name for path in (tmp_path / "parts").rglob("*") if path.is_file()]
    assert left == ["verdict.json"], "only that the job can never commit"


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_and_types_come_from_the_first_rows_of_all(scorer: Scorer, tmp_path: Path, suffix: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/1.jsonl").write_text("\n{broken\n")
    (tmp_path / "in/2.jsonl").write_text('{"premise": "a", "hypothesis": "b", "n": 1}\n')
    (tmp_path / "in/3.jsonl.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "in/4.jsonl").write_text(
        '{"premise": "c", "hypothesis": "d", "n": 1.5, "id": "x"}\n' + '{"premise": "e"}\n' * 60
    )
    names = [f"{tmp_path}/in/{i}.jsonl" for i in (1, 2, 4)]
    outcome = score_small(scorer, names, tmp_path / f"out{suffix}")
    (tmp_path / "whole.jsonl").write_text("".join(Path(name).read_text() for name in names))
    score_small(scorer, tmp_path / "whole.jsonl", tmp_path / f"whole{suffix}")
    assert read_records(tmp_path / f"out{suffix}") == read_records(tmp_path / f"whole{suffix}")
    assert (outcome.totals.rows, outcome.totals.scored) == (63, 2)
    bad = write_input(tmp_path / "bad.jsonl", [{"premise": 1, "hypothesis": 2}] * 40, broken=False)
    message = r"1\.jsonl: none of the first 16 rows can be scored .* fix the input, or write JSONL"
    with pytest.raises(InputError, match=message):
        score_small(scorer, [names[0], bad, names[2]], str(tmp_path / f"bad{suffix}"))


def test_what_unpacks_to_nothing_has_no_rows(scorer: Scorer, lots: str, tmp_path: Path) -> None:
    names = [write_input(tmp_path / f"{i}.jsonl.gz", make_rows(i, 20)) for i in range(3)]
    (tmp_path / "1.jsonl.gz").write_bytes(gzip.compress(b""))
    assert score_small(scorer, names, tmp_path / "out.jsonl").totals.rows == 40
    expected = [(0, 0), (0, 16), (2, 0), (2, 16)] if lots == "apart" else [(0, 0), (0, 16), (0, 32)]
    assert [tuple(descriptor.key) for descriptor in plan_small(names)] == expected
    with pytest.raises(InputError, match=r"1\.jsonl\.gz: the file is empty"):
        score_small(scorer, names[1], tmp_path / "one.jsonl")


@pytest.mark.parametrize("output", ["out.csv", "parts/"])
def test_what_is_done_is_kept_while_an_input_cannot_be_opened(
    scorer: Scorer, lots: str, tmp_path: Path, output: str
) -> None:
    names = [write_input(tmp_path / f"{i}.csv", make_rows(100 * i, 40)) for i in range(4)]
    score_small(scorer, names, tmp_path / "whole.csv")
    steps: list[Step] = []

    def hide(step: Step) -> None:
        steps.append(step)
        if len(steps) == 4:
            Path(names[2]).rename(tmp_path / "hidden")

    with pytest.raises(InputError, match=r"2\.csv: no such file"):
        score_small(scorer, names, f"{tmp_path}/{output}", progress=hide)
    (tmp_path / "hidden").rename(names[2])
    assert sum(step.rows for step in steps) == (80 if lots == "apart" else 64)
    assert score_small(scorer, names, f"{tmp_path}/{output}").resumed == sum(step.rows for step in steps)
    if output == "out.csv":
        assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_names_of_several_inputs(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "x/c.jsonl", "x/[1].jsonl", ".d.jsonl", "_e/f.jsonl", "a.jsonl.rejects.jsonl", "rejects.jsonl",
                 "_SUCCESS", "notes.txt", "é?.jsonl"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "0.jsonl").touch()

    def found(named: str) -> list[str]:
        return [Path(name).relative_to(tmp_path).as_posix() for name in find_inputs(f"{tmp_path}/{named}")]

    assert found("") == ["a.jsonl", "b.jsonl", "x/[1].jsonl", "x/c.jsonl", "é?.jsonl"]
    assert found("*.jsonl") == ["a.jsonl", "b.jsonl", "é?.jsonl"]
    assert found("?.jsonl") == ["a.jsonl", "b.jsonl"]
    assert found("**/[1]*") == ["x/[1].jsonl"]
    assert find_inputs(f"{tmp_path}//x//") == find_inputs(f"{tmp_path}/x/")
    assert found("_?/*.jsonl") == ["_e/f.jsonl"], "it is asked for"
    assert found(".*.jsonl") == [".d.jsonl"]
    assert found("**/c.jsonl") == ["x/c.jsonl"]
    assert found("é?.jsonl") == ["é?.jsonl"], "it is there"
    assert find_inputs(f"{tmp_path}/?/") == find_inputs(f"{tmp_path}/x/")
    (tmp_path / "[z]*/b").mkdir(parents=True)
    (tmp_path / "[z]*/b/c.jsonl").write_text("x")
    assert found("[z]*/") == ["[z]*/b/c.jsonl"]
    assert found("[z]*/?/") == ["[z]*/b/c.jsonl"]
    shutil.rmtree(tmp_path / "[z]*")
    assert found("a.jsonl.rejects.jsonl") == ["a.jsonl.rejects.jsonl"], "it is asked for"
    assert find_inputs("-") == ["-"]
    with pytest.raises(InputError, match=r"\*\.csv: found nothing, expected a file that the pattern matches"):
        found("*.csv")
    with pytest.raises(
        InputError, match=r"y/: found nothing, expected files that end in \.csv, \.tsv, \.jsonl, \.parquet"
    ):
        found("y/")
    (tmp_path / "x/d.csv.gz").write_text("x")
    with pytest.raises(
        UsageError,
        match=r"x/\[1\]\.jsonl and .*x/d\.csv\.gz have different formats, and a job reads only one; select .* '\*\.jsonl'$",
    ):
        found("x/")
    (tmp_path / "x/out").mkdir()
    (tmp_path / "x/out/part-000000000000.jsonl").write_text("x")
    for named in ("x/", "x/*/part-*", "**/*0.jsonl"):
        with pytest.raises(
            InputError,
            match=r"x/out/manifest\.json is missing, so the parts next to it may be incomplete; let that job",
        ):
            found(named)
    (tmp_path / "x/out/manifest.json").write_text("{}")
    part = tmp_path / "x/out/part-00000-000000000000-0123456789ab.jsonl"
    part.write_text("x")
    for named in ("x/out/", "x/out/part-*", "**/*ab.jsonl"):
        with pytest.raises(
            InputError, match=r"x/out/_pairlift/manifest\.json is missing, so the parts next to it may be"
        ):
            found(named)
    (tmp_path / "x/out/_pairlift").mkdir()
    (tmp_path / "x/out/_pairlift/manifest.json").write_text("{}")
    assert found("x/out/part-?????-*") == ["x/out/part-00000-000000000000-0123456789ab.jsonl"]


def test_folders_are_read_whole_or_not_at_all(tmp_path: Path, pairlift: Run) -> None:
    (tmp_path / "in/a").mkdir(parents=True)
    for name in ("in/1.csv", "in/a/2.csv"):
        (tmp_path / name).write_text("premise,hypothesis\na,b\n")
    (tmp_path / "in/loop").symlink_to(".")
    (tmp_path / "in/lost.csv").symlink_to("nowhere")
    (tmp_path / "in/linked.csv").symlink_to("a/2.csv")
    (tmp_path / "linked").symlink_to("in/a")
    names = [f"{tmp_path}/in/{name}" for name in ("1.csv", "a/2.csv", "linked.csv")]
    assert find_inputs(f"{tmp_path}/in/") == names
    assert find_inputs(f"{tmp_path}/in/**/*.csv") == names
    assert find_inputs(f"{tmp_path}/l*/*.csv") == [f"{tmp_path}/linked/2.csv"]
    assert find_inputs(f"{tmp_path}/linked/") == [f"{tmp_path}/linked/2.csv"]
    long = pairlift("score", SMALL_BUNDLE, "x" * 300 + ".csv", tmp_path / "out.csv")
    assert (long.returncode, "file name too long; expected a file of pairs" in long.stderr) == (3, True)
    nothing = pairlift("score", SMALL_BUNDLE, "", tmp_path / "out.csv")
    assert (nothing.returncode, "found extension 'none'" in nothing.stderr) == (2, True)
    name = os.fsdecode(b"in/\xff.csv")
    (tmp_path / name).write_text("premise,hypothesis\na,b\n")
    planned = pairlift("plan", "in/", cwd=tmp_path)
    assert json.loads(planned.stdout.splitlines()[-1])["spans"][-1]["input"] == "in/\\xff.csv"


@pytest.mark.parametrize("mode", [0o000, 0o644])
def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    (tmp_path / "in/a").mkdir(parents=True)
    (tmp_path / "in/1.csv").write_text("x")
    (tmp_path / "in/a/2.csv").write_text("x")
    (tmp_path / "in/a").chmod(mode)
    code = f"from pairlift.inputs.names import find_inputs; print(find_inputs({str(tmp_path / 'in')!r} + '/'))"
    command = [sys.executable, "-c", code]
    if os.geteuid() == 0:  # whom no mode keeps out
        if not shutil.which("setpriv"):
            pytest.skip("no setpriv")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (tmp_path / "in/a").chmod(0o755)
    assert "in/a" in done.stderr and "permission denied; everything below" in done.stderr, done.stdout


def test_the_folder_that_inputs_share() -> None:
    assert common_folder(["in/ab/1.csv", "in/ac/1.csv"]) == "in/"
    assert common_folder(["s3://b/in/1.csv"]) == "s3://b/in/"
    assert common_folder(["1.csv", "in/2.csv"]) == ""


@pytest.mark.parametrize(
    ("named", "output"),
    [
        ("in/", "in/out.csv"),
        ("in/", "in/deep/out/"),
        ("in/", "in/"),
        ("in//", "in/out.csv"),
        ("link/", "in/out.csv"),
        ("in/", "link/out.csv"),
        ("lin?/*.csv", "link/out.csv"),
        ("i*/", "in/deep/out.jsonl"),
        ("s3://b/i*/", "s3://b/in/out.csv"),
        ("in/*.csv", "in/out.csv"),
        ("*.csv", "./x/../out.csv"),
        ("in/**/*.csv", "in/out/"),
        ("s3://b/in/", "s3://b/in/out.csv"),
        ("s3://b/*.csv", "s3://b/out.csv"),
    ],
)
def test_an_output_that_would_be_an_input_the_next_time_is_refused(
    named: str, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to("in")
    with pytest.raises(UsageError, match="would be one of the inputs that"):
        check_apart(named, output)
    for apart in ("out/in.csv", "in.csv.gz", "s3://b/other/in.csv", "s3://c/in/x.csv", "-"):
        check_apart(named, apart)


def test_the_command_takes_a_pattern_and_a_directory(pairlift: Run, tmp_path: Path) -> None:
    write_inputs(tmp_path / "in", ".csv")
    done = pairlift("score", SMALL_BUNDLE, "in/**/*.csv", "out.csv", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "5 inputs, in/a/0.csv to in/b/4.csv\n" in done.stderr
    again = pairlift("score", SMALL_BUNDLE, f"{tmp_path}/in/", "out.csv", cwd=tmp_path)
    assert (again.returncode, "(by an earlier run; nothing to do)" in again.stderr) == (1, True), again.stderr
    streamed = pairlift("score", SMALL_BUNDLE, "in/", "-", "--quiet", cwd=tmp_path)
    assert streamed.stdout == (tmp_path / "out.csv").read_text()
    planned = pairlift("plan", "in/", cwd=tmp_path)
    (chunk,) = map(json.loads, planned.stdout.splitlines())
    assert (chunk["lot"], chunk["row"]) == (0, 0)
    assert [(span["input"], span["rows"]) for span in chunk["spans"]] == [
        (f"in/{'a' if i < 2 else 'b'}/{i}.csv", rows) for i, rows in enumerate(ROWS) if rows
    ]
    bad = pairlift("score", SMALL_BUNDLE, "in/", "in/out.csv", cwd=tmp_path)
    assert (bad.returncode, "in/out.csv: would be one of the inputs that in/ names" in bad.stderr) == (2, True)
    bare = pairlift("plan", "in", cwd=tmp_path)
    assert (bare.returncode, bare.stderr) == (
        2,
        "error: in: is a directory, expected a file; in/ names all files in it\n",
    )
    (tmp_path / "in/b/9.csv").touch()
    told = pairlift("plan", "in/", cwd=tmp_path).stderr
    assert told == "WARNING: in/: skipped 1 empty file, beginning with in/b/9.csv\n"
    none = pairlift("score", SMALL_BUNDLE, "nowhere/*.csv", "x.csv", cwd=tmp_path)
    assert (none.returncode, "nowhere/*.csv: found nothing" in none.stderr) == (3, True)


def test_objects_below_a_prefix_are_one_job(scorer: Scorer, bucket: Bucket, tmp_path: Path) -> None:
    names = write_inputs(tmp_path / "in", ".jsonl")
    score_small(scorer, names, tmp_path / "out.jsonl")
    for name in names:
        bucket.put(f"in/{Path(name).relative_to(tmp_path / 'in').as_posix()}", Path(name).read_bytes())
    bucket.put("in/", b"")
    bucket.put("in/b/_SUCCESS", b"x")
    bucket.put("in/b/0.jsonl", b"")
    found = find_inputs(bucket.url("in/"))
    assert found == [bucket.url(f"in/{'a' if i < 2 else 'b'}/{i}.jsonl") for i in (0, 2, 3, 4)]
    assert find_inputs(bucket.url("in/**/?.jsonl")) == found
    assert find_inputs(bucket.url("in/a/*")) == found[:1]
    assert find_inputs(bucket.url("i?/a/")) == found[:1]
    bucket.put("in/b/.h.jsonl", b"x")
    bucket.put("in/_x/h.jsonl", b"x")
    assert find_inputs(bucket.url("in/**/*.jsonl")) == found
    starred = [bucket.put("what?.jsonl", b"x"), bucket.put("whatX.jsonl", b"x")]
    assert find_inputs(starred[0]) == starred[:1]
    assert find_inputs(bucket.url("wha??.jsonl")) == starred
    score_small(scorer, found, bucket.url("out.jsonl"))
    assert bucket.get("out.jsonl") == (tmp_path / "out.jsonl").read_bytes()
    assert bucket.get("out.jsonl.rejects.jsonl") == (tmp_path / "out.jsonl.rejects.jsonl").read_bytes()
    with pytest.raises(InputError, match=r"other/: found nothing"):
        find_inputs(bucket.url("other/"))
    with pytest.raises(UsageError, match=r"s3://b\*/in/: expected s3://bucket/key, with \* and \? only in the key"):
        find_inputs("s3://b*/in/")
    whole = find_inputs(f"s3://{bucket.name}/")
    assert set(found) < set(whole)
