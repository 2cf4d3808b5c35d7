"""A function's code as Lambda has it: the built zip, unpacked, and the libraries that Lambda's Python runtime brings along."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from lambda_runtime import LambdaRuntime
from pairlift.deploy.target import RUNTIMES

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("infer", "export", "training")
# Read at the start of a container, before the function: sizes that a test can wait for.
SMALL = """
from pairlift.inputs import rows
from pairlift.storage import object_file, upload
rows.CHUNK_ROWS, upload.PART, object_file.BLOCK = 16, 1024, 4096
import botocore.retries.standard
botocore.retries.standard.ExponentialBackoff.delay_amount = lambda self, context: 0.01
"""


def find_python() -> str | None:
    """Return an interpreter of a version that Lambda has, if there is one here."""
    named = [sys.executable, *(shutil.which(f"python{version}") for version in RUNTIMES)]
    managed = sorted((Path.home() / ".pyenv/versions").glob("3.*/bin/python"))
    for command in (*named, *managed):
        asked = command and subprocess.run(
            [command, "-c", "import sys; print(*sys.version_info[:2], sep='.')"], capture_output=True, text=True
        )
        if asked and asked.stdout.strip() in RUNTIMES:
            return str(command)
    return None


PYTHON = find_python()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What a container runs.

    Attributes:
        python: The interpreter.
        task: The function's folder, with its bundle.
        runtime: The folder of Lambda's own libraries, or None where the interpreter has them.
        sources: The folder of the package where the function's has none, or None.
        small: A folder whose sitecustomize.py makes chunks and parts small.
    """

    python: str
    task: Path
    runtime: Path | None
    sources: Path | None
    small: Path

    def start(self, environment: Mapping[str, str], small: bool = True) -> LambdaRuntime:
        """Return a container, to be entered."""
        folders = (self.sources, self.task, self.runtime, self.small if small else None)
        path = os.pathsep.join(str(folder) for folder in folders if folder)
        return LambdaRuntime(path, {"HOME": "/nonexistent", **environment}, self.task, python=self.python)


def build_code(folder: Path, bundle: Path, python: str, variant: str = "fp32") -> Code:
    """Build the zip of a bundle for an interpreter, unpack it, and install what Lambda has beside it."""
    build = [sys.executable, "-m", "pairlift", "lambda", "build", str(bundle), str(folder / "function.zip")]
    sources = os.pathsep.join(str(ROOT / name) for name in SOURCES)
    environment = {**os.environ, "PYTHONPATH": sources}
    subprocess.run(
        [*build, "--python", python, "--variant", variant], env=environment, check=True, stdout=subprocess.DEVNULL
    )
    with zipfile.ZipFile(folder / "function.zip") as archive:
        archive.extractall(folder / "task")
    requirements = ROOT / "infer/pairlift/deploy/requirements.txt"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"]
    install = [*pip, "--no-deps", "--only-binary=:all:", "--requirement", str(requirements)]
    subprocess.run([*install, "--target", str(folder / "runtime")], check=True, stderr=subprocess.DEVNULL)
    return Code(
        python=python, task=folder / "task", runtime=folder / "runtime", sources=None, small=_write_small(folder)
    )


def take_sources(folder: Path, bundle: Path) -> Code:
    """Return the code as it lies here, to be run by this interpreter."""
    (folder / "task").mkdir()
    (folder / "task/bundle").symlink_to(bundle)
    return Code(
        python=sys.executable, task=folder / "task", runtime=None, sources=ROOT / "infer", small=_write_small(folder)
    )


def _write_small(folder: Path) -> Path:
    (folder / "small").mkdir()
    (folder / "small/sitecustomize.py").write_text(SMALL)
    return folder / "small"
