"""The built wheel, installed without extras, scores a bundle and says what the other commands need."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and its base dependencies alone."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)], check=True, capture_output=True
    )
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    (wheel,) = folder.glob("*.whl")
    pip = [
        str(folder / "venv/bin/python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "-c",
        str(ROOT / "constraints.txt"),
        str(wheel),
    ]
    subprocess.run(pip, check=True, capture_output=True)
    return folder / "venv/bin"


def test_it_holds_every_file_of_the_packages(runner: Path) -> None:
    (wheel,) = runner.parent.parent.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    for package in ("infer/pairlift", "export/pairlift_export", "training/pairlift_training"):
        files = [file for file in (ROOT / package).rglob("*") if file.is_file() and "__pycache__" not in file.parts]
        assert {file.relative_to((ROOT / package).parent).as_posix() for file in files} <= held
    assert "pairlift_export/templates/parity.html" in held


def run(runner: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the installed command outside the checkout."""
    return subprocess.run(
        [str(runner / "pairlift"), *map(str, arguments)], capture_output=True, text=True, cwd=runner, check=False
    )


def test_it_scores_without_keras_tensorflow_jax_or_onnx(runner: Path, bundle: Path, tmp_path: Path) -> None:
    freeze = subprocess.run(
        [str(runner / "python"), "-m", "pip", "list"], capture_output=True, text=True, check=True
    ).stdout.lower()
    installed = {line.split()[0] for line in freeze.splitlines() if line.strip()}
    assert not installed & {"keras", "keras-hub", "tensorflow", "jax", "torch", "onnx", "tf2onnx"}
    (tmp_path / "in.csv").write_text("premise,hypothesis\nthe dog runs,a cat sleeps\n")
    done = run(runner, "score", bundle, tmp_path / "in.csv", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.csv").read_text().startswith("premise,hypothesis,prediction,p_entailment")
    assert run(runner, "verify", bundle).returncode == 0
    assert run(runner, "evaluate", bundle, "sample:nli[test]").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "sample:nli", "run"), 'train needs: pip install "pairlift[training]"'),
        (("train", "tfds:snli", "run"), 'tfds:snli needs: pip install "pairlift[tfds]"'),
    ],
)
def test_a_command_whose_extra_is_missing_says_which(
    runner: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = subprocess.run(
        [str(runner / "pairlift"), *arguments], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stderr) == (2, f"error: {message}\n")
    assert list(tmp_path.iterdir()) == []


def test_the_export_says_which_extra_it_needs(runner: Path, tmp_path: Path) -> None:
    from models import save_classifier

    save_classifier(tmp_path / "model.keras")
    done = run(runner, "export", tmp_path / "model.keras", tmp_path / "b", "--labels", "a,b,c", "--fields", "x,y")
    assert (done.returncode, done.stderr) == (2, 'error: export needs: pip install "pairlift[export]"\n')
    assert not (tmp_path / "b").exists()
