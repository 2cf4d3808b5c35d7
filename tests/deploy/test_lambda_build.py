"""`pairlift lambda build`: the same zip each time, small enough, complete, and it scores where nothing else is."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import SMALL_BUNDLE, Run, run_pairlift
from lambda_function import PYTHON
from pairlift.deploy import package
from pairlift.deploy.archive import MOST_UNZIPPED, MOST_ZIPPED, write_zip
from pairlift.deploy.target import RUNTIMES, Target
from pairlift.digest import sha256_bytes, sha256_file
from pairlift.errors import UsageError

WITHOUT_BUNDLE = 97_000_000  # so that BERT tiny's graph of 17.6 MB and its vocabulary stay within 115 MB
AARCH64 = 183  # e_machine of an ELF file


needs_python = pytest.mark.skipif(PYTHON is None, reason=f"no Python {' or '.join(RUNTIMES)} here, which a zip is for")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a zip, its template, the context of an image, and the zip unpacked."""
    folder = tmp_path_factory.mktemp("built")
    done = run_pairlift(
        "lambda", "build", SMALL_BUNDLE, folder / "score.zip", "--image", folder / "image", "--python", PYTHON,
        "--template", folder / "template.yaml",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / "said").write_text(done.stdout)
    with zipfile.ZipFile(folder / "score.zip") as archive:
        archive.extractall(folder / "task")
    return folder


def list_files(root: Path) -> dict[str, str]:
    """Return every file below a folder with its sha256."""
    return {p.relative_to(root).as_posix(): sha256_file(p) for p in root.rglob("*") if p.is_file()}


@needs_python
def test_the_same_input_gives_the_same_zip_in_another_place_at_another_time(built: Path, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    again = tmp_path / "again.zip"
    again.write_text("an earlier build, replaced by --force")
    old_umask = os.umask(0o077)
    try:
        done = run_pairlift(
            "lambda", "build", SMALL_BUNDLE, again, "--python", PYTHON, "--force",
            env={**os.environ, "TMPDIR": str(place), "PYTHONHASHSEED": "7"},
        )  # fmt: skip
    finally:
        os.umask(old_umask)
    assert done.returncode == 0, done.stderr
    assert sha256_file(again) == sha256_file(built / "score.zip")
    assert sha256_file(again) in done.stdout
    assert sorted(tmp_path.iterdir()) == [again, place]
    assert list(place.iterdir()) == []


@needs_python
def test_the_tree_without_the_bundle_leaves_room_for_bert_tiny(built: Path) -> None:
    with zipfile.ZipFile(built / "score.zip") as archive:
        sizes = {i.filename: i.file_size for i in archive.infolist()}
        assert {i.date_time for i in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {i.external_attr >> 16 for i in archive.infolist()} == {0o100644}
        assert archive.namelist() == sorted(archive.namelist())
    assert sum(size for name, size in sizes.items() if not name.startswith("bundle/")) <= WITHOUT_BUNDLE
    said = (built / "said").read_text()
    assert f"{sum(sizes.values()) / 1e6:.1f} MB unzipped (at most 262.1 MB), " in said
    assert f"{(built / 'score.zip').stat().st_size / 1e6:.1f} MB zipped (at most 52.4 MB), sha256 " in said


@needs_python
def test_what_is_never_imported_is_not_in_it(built: Path) -> None:
    names = list_files(built / "task")
    top = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert top == {"bundle", "click", "numpy", "numpy.libs", "onnxruntime", "orjson", "pairlift", "tokenizers"}
    unwanted = re.compile(
        r"(^|/)tests/|^onnxruntime/(transformers|tools|quantization)/|libonnxruntime\.so|^numpy/f2py|\.pyi$|/RECORD$"
    )
    assert [name for name in names if unwanted.search(name)] == []
    assert not [name for name in names if name.startswith("pairlift/deploy")]
    assert {n for n in names if n.startswith("bundle/")} == {
        f"bundle/{name}" for name in ("golden.jsonl", "manifest.json", "model.onnx", "parity.json", "tokenizer.json")
    }


@needs_python
def test_every_module_has_byte_code_that_is_never_checked(built: Path) -> None:
    root = built / "task"
    modules = list(root.rglob("*.py"))
    assert len(modules) > 200
    for module in modules:
        (code,) = (module.parent / "__pycache__").glob(f"{module.stem}.cpython-*.pyc")
        data = code.read_bytes()
        assert data[4:8] == b"\x01\0\0\0", code  # hashed, and the hash is not looked at
        assert f"/var/task/{module.relative_to(root).as_posix()}".encode() in data
        assert str(built).encode() not in data


SCORE = """
import sys
sys.path.insert(0, sys.argv[1])
import importlib, pkgutil, pairlift
for module in pkgutil.walk_packages(pairlift.__path__, "pairlift."):
    importlib.import_module(module.name)
from pairlift.model.golden import replay
from pairlift.model.scorer import Scorer
from pairlift.version import read_versions
print(replay(Scorer.open(sys.argv[1] + "/bundle")).pairs)
print(sorted(read_versions(["onnxruntime", "tokenizers", "numpy", "orjson"])))
print({m.__file__.startswith(sys.argv[1]) for n, m in sys.modules.items() if n.split(".")[0] in ("numpy", "pairlift")})
"""


@needs_python
def test_it_scores_the_golden_pairs_where_nothing_else_is_installed(built: Path, tmp_path: Path) -> None:
    before = list_files(built / "task")
    environment = {"HOME": str(tmp_path), "LAMBDA_TASK_ROOT": str(built / "task")}
    done = subprocess.run(
        [str(PYTHON), "-I", "-S", "-c", SCORE, str(built / "task")],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "64",
        "['numpy', 'onnxruntime', 'orjson', 'pairlift', 'tokenizers']",
        "{True}",
    ]
    assert list_files(built / "task") == before  # nothing was compiled, or written
    assert list(tmp_path.iterdir()) == []


HANDLE = """
import sys
sys.path.insert(0, sys.argv[1])
import json
from pairlift.aws import handler
from pairlift.model.golden import read_golden
from pairlift.model.bundle import Bundle
(golden,) = read_golden(Bundle.open(sys.argv[1] + "/bundle"), 1)
answer = handler({"pairs": [[golden.first, golden.second]]}, None)
found = answer["results"][0]["probabilities"].values()
print(max(abs(a - b) for a, b in zip(found, golden.probabilities["fp32"], strict=True)) < 2e-5)
"""


@needs_python
@pytest.mark.skipif(find_spec("pairlift.aws") is None, reason="the runner has no handler")
def test_its_handler_answers_where_nothing_else_is_installed(built: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(PYTHON), "-I", "-S", "-c", HANDLE, str(built / "task")],
        env={"LAMBDA_TASK_ROOT": str(built / "task")}, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "True" in done.stdout.splitlines()


@needs_python
def test_the_image_has_the_files_of_the_zip_and_all_that_its_dockerfile_copies(built: Path) -> None:
    image = built / "image"
    assert list_files(image / "task") == list_files(built / "task")
    lines = (image / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    steps = [line.split(None, 1) for line in lines if line and not line.startswith("#")]
    assert [step[0] for step in steps] == ["FROM", "COPY", "RUN", "WORKDIR", "COPY", "ENV", "USER", "ENTRYPOINT", "CMD"]
    of = {name: rest for name, rest in steps if name not in ("COPY",)}
    assert re.fullmatch(r"python:3\.\d+-slim", of["FROM"])
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", of["USER"])
    assert json.loads(of["ENTRYPOINT"]) == ["python", "-m", "awslambdaric"]
    assert json.loads(of["CMD"]) == ["pairlift.aws.handler"]
    assert of["ENV"].split() == ["LAMBDA_TASK_ROOT=/var/task", "PAIRLIFT_BUNDLE=bundle", "PAIRLIFT_VARIANT=fp32"]
    for name, rest in steps:
        if name == "COPY":
            assert (image / rest.split()[0]).exists()
    assert all(p.stat().st_mode & 0o004 for p in image.rglob("*"))  # for whoever Lambda runs it as


def test_an_image_installs_the_versions_that_were_tested_and_needs_no_others() -> None:
    pins = dict(
        line.split("==") for line in (package.HERE / "requirements.txt").read_text().splitlines() if "==" in line
    )
    for name, version in pins.items():
        assert importlib.metadata.version(name) == version
        for need in importlib.metadata.requires(name) or ():
            if "extra ==" not in need:
                assert re.split(r"[\s<>=!(;]", need)[0] in pins, (name, need)


def test_an_image_for_arm64_has_libraries_of_arm64(tmp_path: Path) -> None:
    done = run_pairlift("lambda", "build", "s3://models/nli/", "--image", tmp_path / "image", "--architecture", "arm64")
    assert done.returncode == 0, done.stderr
    assert "arm64 (untested)" in done.stdout
    libraries = list((tmp_path / "image").rglob("*.so*"))
    assert len(libraries) > 6
    assert {int.from_bytes(path.read_bytes()[18:20], "little") for path in libraries} == {AARCH64}
    assert not (tmp_path / "image/task/bundle").exists()
    dockerfile = (tmp_path / "image/Dockerfile").read_text()
    assert "PAIRLIFT_BUNDLE=s3://models/nli/" in dockerfile
    assert "--platform linux/arm64" in dockerfile


def fail(*arguments: object, **options: object) -> tuple[int, str]:
    """Return the exit code and the one line of a build that fails."""
    done = run_pairlift("lambda", "build", *arguments, **options)
    assert done.stdout == ""
    return done.returncode, done.stderr


@needs_python
def test_an_existing_zip_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "score.zip"
    output.write_text("mine")
    assert fail(SMALL_BUNDLE, output, "--python", PYTHON) == (
        7,
        f"error: {output}: exists; choose another name, or add --force to replace it\n",
    )
    assert output.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [output]


def test_a_folder_that_is_no_image_of_ours_is_refused_by_force_too(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "image/Dockerfile").write_text("mine")
    code, line = fail(SMALL_BUNDLE, "--image", tmp_path / "image", "--force")
    assert (code, "so pairlift does not replace it" in line) == (7, True)


def test_usage_errors_say_what_to_do(bundle: Path, tmp_path: Path) -> None:
    assert fail(bundle) == (2, "error: nothing to build: name OUT.zip, or --image DIR for a container\n")
    image = ("--image", tmp_path / "image")
    assert fail(bundle, *image, "--variant", "int8") == (2, f"error: --variant int8: {bundle} has fp32\n")
    code, line = fail("s3://models/nli", *image)
    assert (code, "expected s3://bucket/prefix/" in line) == (2, True)
    code, line = fail(bundle, *image, "--python", tmp_path / "none")
    assert (code, "does not run as a Python" in line) == (2, True)
    assert fail(bundle, tmp_path / "none/score.zip")[0] == 2
    assert not (tmp_path / "image").exists()


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the refused version")
def test_a_zip_for_the_runtime_with_the_old_c_library_is_refused(bundle: Path, tmp_path: Path) -> None:
    assert fail(bundle, tmp_path / "score.zip") == (
        2,
        f"error: {sys.executable} is Python 3.11, expected 3.12 or 3.13 for a zip (Lambda's python3.11 has glibc 2.26, "
        "onnxruntime needs 2.28): add --python python3.13, or build an image with --image DIR alone\n",
    )


def test_wheels_that_cannot_be_fetched_are_one_line(bundle: Path, tmp_path: Path) -> None:
    nowhere = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "TMPDIR": str(tmp_path)}
    code, line = fail(bundle, "--image", tmp_path / "image", env=nowhere)
    assert code == 5
    assert line.startswith("error: pip cannot fetch the wheels for Python 3.")
    assert "No matching distribution found for numpy==" in line
    assert list(tmp_path.iterdir()) == [bundle]


def test_a_build_that_is_stopped_leaves_nothing(bundle: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pairlift", "lambda", "build", str(bundle), "--image", str(tmp_path / "image")]
    place = tmp_path / "place"
    place.mkdir()
    with subprocess.Popen(command, env={**os.environ, "TMPDIR": str(place)}, stderr=subprocess.PIPE) as build:
        while build.poll() is None and not list(place.glob("*/pip-*")):
            time.sleep(0.01)
        build.terminate()
        _, said = build.communicate()
    assert build.returncode == 143
    assert said == b"stopped by SIGTERM; nothing was left half-written\n"
    assert sorted(tmp_path.iterdir()) == [bundle, place]
    assert list(place.iterdir()) == []


def test_an_altered_bundle_leaves_nothing(bundle: Path, tmp_path: Path, pairlift: Run) -> None:
    with (bundle / "model.onnx").open("r+b") as file:
        file.write(b"x")
    code, line = fail(bundle, "--image", tmp_path / "image", env={**os.environ, "TMPDIR": str(tmp_path)})
    assert (code, "altered since the export" in line) == (4, True)
    assert list(tmp_path.iterdir()) == [bundle]


def add_int8(bundle: Path) -> None:
    """Give a bundle a second variant."""
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    data = (bundle / "model.onnx").read_bytes()
    (bundle / "model.int8.onnx").write_bytes(data)
    manifest["variants"]["int8"] = {**manifest["variants"]["fp32"], "file": "model.int8.onnx"}
    manifest["groups"]["int8"] = [{"path": "model.int8.onnx", "size": len(data), "sha256": sha256_bytes(data)}]
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def test_a_tree_over_a_limit_is_refused_with_advice(bundle: Path, tmp_path: Path) -> None:
    add_int8(bundle)
    target = Target(architecture="x86_64", python="3.13", interpreter=sys.executable)
    advice = package.make_package(str(bundle), "fp32", target).advice
    tree = tmp_path / "tree"
    tree.mkdir()
    with (tree / "zeros").open("wb") as file:
        file.truncate(MOST_UNZIPPED + 1)
    with pytest.raises(UsageError) as unzipped:
        write_zip(tree, tmp_path / "stage", "score.zip", advice)
    assert str(unzipped.value) == (
        "score.zip: 262.1 MB unzipped, expected at most 262.1 MB; build a container image: --image DIR without OUT.zip, "
        "or --variant int8, or give BUNDLE as s3://bucket/prefix/ to have it fetched at start"
    )
    (tree / "zeros").unlink()
    (tree / "noise").write_bytes(os.urandom(MOST_ZIPPED))
    advice = package.make_package(str(bundle), "int8", target).advice
    with pytest.raises(UsageError) as zipped:
        write_zip(tree, tmp_path / "stage", "score.zip", advice)
    assert str(zipped.value) == (
        "score.zip: 52.4 MB zipped, expected at most 52.4 MB; build a container image: --image DIR without OUT.zip, "
        "or give BUNDLE as s3://bucket/prefix/ to have it fetched at start"
    )


def test_help_has_an_example(pairlift: Run) -> None:
    done = pairlift("lambda", "build", "--help")
    assert "Example: pairlift lambda build out/bundle out/score.zip" in done.stdout
