"""The stages know of each other only what the architecture allows."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {
    "keras",
    "matplotlib",
    "keras_hub",
    "tensorflow",
    "tensorflow_text",
    "jax",
    "torch",
    "tf2onnx",
    "onnx",
    "tensorflow_datasets",
    "pyarrow",
    "boto3",
    "botocore",
    "ray",
    "jinja2",
}
RUNNER = {"numpy", "onnxruntime", "tokenizers", "orjson", "click", "tqdm"}
PACKAGES = {
    "infer/pairlift": RUNNER
    # after the first, those that a function imports, for an extra
    | {"pairlift", "backports", "compression", "pyarrow", "boto3", "botocore", "ray"},
    "training/pairlift_training": RUNNER
    | {"pairlift", "pairlift_training", "keras", "keras_hub", "jax", "matplotlib", "tensorflow_datasets"},
    "export/pairlift_export": RUNNER
    | {
        "pairlift",
        "pairlift_export",
        "pairlift_training",
        "keras",
        "keras_hub",
        "tensorflow",
        "tf2onnx",
        "onnx",
        "jinja2",
    },
}


def imported(path: Path) -> set[str]:
    """Return the full names of the modules that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("folder", PACKAGES)
def test_a_stage_imports_only_what_it_may(folder: str) -> None:
    allowed = PACKAGES[folder] | sys.stdlib_module_names
    for path in (ROOT / folder).rglob("*.py"):
        found = {name.split(".")[0] for name in imported(path)}
        if path.name == "__main__.py" and folder == "infer/pairlift":
            found -= {"pairlift_export", "pairlift_training"}
        assert found <= allowed, f"{path}: {found - allowed}"


def test_the_export_knows_of_training_only_the_run() -> None:
    for path in (ROOT / "export").rglob("*.py"):
        of_training = {name for name in imported(path) if name.startswith("pairlift_training")}
        assert of_training <= {"pairlift_training.run"}, path


def test_one_module_says_how_an_extra_is_installed() -> None:
    files = [path for folder in PACKAGES for path in (ROOT / folder).rglob("*.py")]
    assert [path.name for path in files if "pairlift[" in path.read_text()] == ["errors.py"]


def test_no_module_lies_between_a_source_root_and_its_package() -> None:
    for root in ("infer", "export", "training"):
        assert list((ROOT / root).glob("*.py")) == []


def run_fresh(code: str, **environment: str) -> str:
    """Run code in a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment or None, check=True
    )
    return done.stdout


def test_the_runner_imports_nothing_heavy() -> None:
    code = "import sys, pairlift, pairlift.__main__, pairlift.jobs.job, pairlift.model.golden; print(*sys.modules)"
    loaded = {name.split(".")[0] for name in run_fresh(code).split()}
    assert not loaded & HEAVY


def test_the_lambda_handler_imports_what_scoring_takes_and_no_more() -> None:
    code = f"import os; os.environ['PAIRLIFT_BUNDLE'] = {str(ROOT / 'tests/data/bundle')!r}\n"
    code += "import sys; from pairlift.aws import handler; handler({'pairs': [['a', 'b']]}); print(*sys.modules)"
    loaded = set(run_fresh(code).splitlines()[-1].split())
    assert "onnxruntime" in loaded
    assert not loaded & (HEAVY | {"click", "tqdm", "multiprocessing", "pairlift.jobs.job"})


def test_help_imports_no_numeric_library() -> None:
    code = "import sys; from pairlift.__main__ import make_cli; make_cli().main(['train', '--help'], standalone_mode=False)\n"
    code += "print(*sys.modules)"
    loaded = {name.split(".")[0] for name in run_fresh(code).splitlines()[-1].split()}
    assert "pairlift_training" in loaded
    assert not loaded & (HEAVY | {"numpy", "onnxruntime", "tokenizers"})


def test_only_the_command_line_imports_commands_and_other_stages_only_their_options() -> None:
    for folder in PACKAGES:
        for path in (ROOT / folder).rglob("*.py"):
            tree = ast.parse(path.read_text())
            imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
            names = {f"{node.module}.{alias.name}" for node in imports for alias in node.names} | imported(path)
            of_commands = {name for name in names if name.startswith("pairlift.commands")}
            if path.name == "__main__.py" or path.parent.name == "commands":
                continue
            allowed = {"pairlift.commands", "pairlift.commands.options"} if path.name == "cli.py" else set()
            assert of_commands <= allowed, path


def test_scoring_leaves_no_telemetry_under_home(bundle: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    code = f"from pairlift import Scorer; Scorer.open({str(bundle)!r}).score([('a', 'b')])"
    run_fresh(code, HOME=str(home), PATH="/usr/bin:/bin")
    assert list(home.rglob("*")) == []
