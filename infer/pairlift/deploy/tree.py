"""The tree: all files in a function's folder, the same each time it is built."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pairlift.deploy.dependencies import add_dependencies
from pairlift.deploy.target import Target
from pairlift.errors import UsageError
from pairlift.model.bundle import Bundle
from pairlift.model.manifest import MANIFEST, PROOF, RUNTIME
from pairlift.signals import raised_signals
from pairlift.storage.staging import storage_errors

TASK = "/var/task"  # where Lambda puts the tree, and the path that tracebacks show
BUNDLE = "bundle"
NOT_IN_A_FUNCTION = shutil.ignore_patterns("__pycache__", "deploy", "commands", "__main__.py")


def open_variant(path: str, variant: str) -> Bundle:
    """Open a bundle, and check that it has a variant; errors as `Bundle.open`.

    Raises:
        UsageError: The bundle, or this copy of it, lacks the variant.
    """
    bundle = Bundle.open(path)
    if not bundle.has(variant):
        there = [name for name in sorted(bundle.manifest.variants) if bundle.has(name)]
        raise UsageError(f"--variant {variant}: {bundle.path} has {', '.join(there) or 'no graph'}")
    return bundle


@contextlib.contextmanager
def made_tree(target: Target, bundle: Bundle | None, variant: str) -> Iterator[Path]:
    """Yield a temporary folder with a function's files.

    Args:
        target: What the function runs on.
        bundle: The bundle to copy; None if the function fetches it at start.
        variant: The variant whose graph is copied.

    Raises:
        BundleError: A file of the bundle is missing or altered.
        StorageError, UsageError: As `add_dependencies`.
    """
    with raised_signals(), tempfile.TemporaryDirectory(prefix="pairlift-") as folder, storage_errors(folder):
        root = Path(folder, "task")
        root.mkdir()
        if bundle is not None:
            _copy_bundle(bundle, variant, root / BUNDLE)
        add_dependencies(target, root)
        shutil.copytree(Path(__file__).parents[1], root / "pairlift", ignore=NOT_IN_A_FUNCTION)
        _compile(target, root)
        for path in root.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        root.chmod(0o755)
        yield root


def _compile(target: Target, root: Path) -> None:
    """Write byte-code that Python loads without checking the source; a function cannot write to /var/task."""
    command = [
        target.interpreter, "-S", "-s", "-m", "compileall", "-q", "--invalidation-mode=unchecked-hash", "-s", str(root),
        "-p", TASK, str(root),
    ]  # fmt: skip
    environment = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout or done.stderr).strip().splitlines() or ["no output"]
        raise UsageError(f"{target.interpreter} cannot compile the tree: {said[0]}; name another with --python")


def _copy_bundle(bundle: Bundle, variant: str, to: Path) -> None:
    """Copy the files that scoring and the golden replay need, checked against the manifest."""
    to.mkdir()
    (to / MANIFEST).write_bytes(bundle.data)
    groups = [name for name in (RUNTIME, PROOF, variant) if name in bundle.manifest.groups]
    for file in (f for name in groups for f in bundle.manifest.groups[name]):
        path = to / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bundle.read(file.path))
