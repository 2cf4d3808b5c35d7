"""The runner's dependencies: fetched as wheels of the versions installed here, without unused parts."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

from pairlift.deploy.target import Target
from pairlift.errors import StorageError, UsageError

# The packages that the handler imports. Left out, because the handler never imports them: huggingface-hub (required by
# tokenizers); protobuf, flatbuffers and packaging (required by onnxruntime); tqdm, which is only used on terminals.
PACKAGES = ("numpy", "onnxruntime", "tokenizers", "orjson", "click")

# The runner imports nothing from these (a test imports the whole runner without them).
UNUSED = (
    "bin",
    "onnxruntime/backend", "onnxruntime/datasets", "onnxruntime/quantization", "onnxruntime/tools",
    "onnxruntime/transformers",
    "onnxruntime/capi/libonnxruntime.so*",  # a second copy of the library, which the extension module contains
    "numpy/_pyinstaller", "numpy/f2py", "numpy/fft", "numpy/ma", "numpy/polynomial", "numpy/random", "numpy/testing",
    "numpy/_core/include", "numpy/_core/lib", "numpy/_core/_*_tests.*.so", "numpy/_core/_simd.*.so",
    "tokenizers/tools",
    "**/tests", "**/__pycache__", "**/*.pyi", "**/*.pxd",
)  # fmt: skip
KEPT_METADATA = ("METADATA", "licenses")  # versions are read from the first; the second must accompany the code


def add_dependencies(target: Target, root: Path) -> None:
    """Fetch the dependencies into a folder, and remove what the runner does not use.

    The temporary files of pip go into the parent of the folder.

    Raises:
        UsageError: A dependency or pip is not installed here.
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
            f"{name}: not installed here under that name, so its version is unknown; pip install {name}"
        ) from None


def _fetch(requirements: list[str], target: Target, root: Path) -> None:
    platforms = [f"--platform={platform}" for platform in target.platforms]
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps",
        "--no-compile", "--only-binary=:all:", "--implementation=cp", f"--python-version={target.python}", *platforms,
        f"--target={root}", *requirements,
    ]  # fmt: skip
    environment = {**os.environ, "TMPDIR": str(root.parent)}  # so that what a killed pip leaves is removed too
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        raise UsageError(f"{sys.executable} has no pip to fetch wheels with; install it: {sys.executable} -m ensurepip")
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
