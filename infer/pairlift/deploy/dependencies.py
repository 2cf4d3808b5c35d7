"""The runner's dependencies: fetched as wheels of the versions that are installed here, and slimmed."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

from pairlift.deploy.target import Target
from pairlift.errors import StorageError, UsageError

# What the handler's path imports. Left out, for nothing there imports them: huggingface-hub, which tokenizers asks for;
# protobuf, flatbuffers and packaging, which onnxruntime asks for; tqdm, which draws on terminals only.
PACKAGES = ("numpy", "onnxruntime", "tokenizers", "orjson", "click")

# Of these nothing is imported by the runner (a test imports all of it where they are not).
UNUSED = (
    "bin",
    "onnxruntime/backend", "onnxruntime/datasets", "onnxruntime/quantization", "onnxruntime/tools",
    "onnxruntime/transformers",
    "onnxruntime/capi/libonnxruntime.so*",  # the library once more: the extension module holds all of it
    "numpy/_pyinstaller", "numpy/f2py", "numpy/fft", "numpy/ma", "numpy/polynomial", "numpy/random", "numpy/testing",
    "numpy/_core/include", "numpy/_core/lib", "numpy/_core/_*_tests.*.so", "numpy/_core/_simd.*.so",
    "tokenizers/tools",
    "**/tests", "**/__pycache__", "**/*.pyi", "**/*.pxd",
)  # fmt: skip
KEPT_METADATA = ("METADATA", "licenses")  # versions are read from the first; the second goes where the code goes


def add_dependencies(target: Target, root: Path) -> None:
    """Fetch the dependencies into a folder and take out what the runner does not use; pip works in the folder beside it.

    Raises:
        UsageError: One is not installed here, or pip is not.
        StorageError: pip cannot fetch a wheel for the target.
    """
    _fetch([f"{name}=={_installed(name)}" for name in PACKAGES], target, root)
    for pattern in UNUSED:
        for path in list(root.glob(pattern)):
            _remove(path)
    for info in root.glob("*.dist-info"):
        for path in info.iterdir():
            if path.name not in KEPT_METADATA:
                _remove(path)


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        raise UsageError(
            f"{name}: not installed here under that name, so there is no version to take; pip install {name}"
        ) from None


def _fetch(requirements: list[str], target: Target, root: Path) -> None:
    platforms = [f"--platform={platform}" for platform in target.platforms]
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps",
        "--no-compile", "--only-binary=:all:", "--implementation=cp", f"--python-version={target.python}", *platforms,
        f"--target={root}", *requirements,
    ]  # fmt: skip
    environment = {**os.environ, "TMPDIR": str(root.parent)}  # a pip that is killed leaves its folders to us
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        raise UsageError(f"wheels are fetched by pip, which {sys.executable} lacks: {sys.executable} -m ensurepip")
    said = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    raise StorageError(
        f"pip cannot fetch the wheels for Python {target.python} on {target.architecture}: "
        f"{(said or [f'exit code {done.returncode}'])[-1][:300]}"
    )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
