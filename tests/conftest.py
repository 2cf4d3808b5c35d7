"""What the tests share: the small bundle, the corpus, and the command line in a process of its own."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pairlift import Scorer
    from pairlift.outputs.outcome import Outcome

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ["CUDA_VISIBLE_DEVICES"] = ""
_CACHE = tempfile.TemporaryDirectory(prefix="pairlift-tests-")
os.environ["XDG_CACHE_HOME"] = _CACHE.name  # nobody's own cache is read or written
# Half of a small training is XLA's compiler, and the tests make the same networks again and again.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{_CACHE.name}/jax")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell starts what it puts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent
SMALL_BUNDLE = ROOT / "tests/data/bundle"
CORPUS = Path(os.environ.get("PAIRLIFT_DATA", ROOT.parent / "shared/data"))

Run = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the corpus tests where the corpus is not there."""
    if not CORPUS.is_dir():
        for item in items:
            if item.get_closest_marker("corpus"):
                item.add_marker(pytest.mark.skip(reason=f"no corpus at {CORPUS}"))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the small committed bundle, to read or to spoil."""
    return Path(shutil.copytree(SMALL_BUNDLE, tmp_path / "bundle"))


SMALL_CHUNKS = 16  # rows: so that small inputs have many chunks


def score_small(
    scorer: Scorer, source: Any, output: object, *, chunk_rows: int = SMALL_CHUNKS, **asked: Any
) -> Outcome:
    """Score a file in small chunks; `asked` are options of the job and arguments of `score_file`."""
    from pairlift.inputs.options import JobOptions
    from pairlift.jobs.job import score_file

    fields = {field.name for field in dataclasses.fields(JobOptions)}
    options = JobOptions(chunk_rows=chunk_rows, **{name: value for name, value in asked.items() if name in fields})
    rest = {name: value for name, value in asked.items() if name not in fields}
    names = [str(each) for each in source] if isinstance(source, list) else str(source)
    return score_file(scorer, names, str(output), options, **rest)


@pytest.fixture
def scorer() -> Iterator[Scorer]:
    """The scorer of the small bundle."""
    from pairlift import Scorer

    scorer = Scorer.open(SMALL_BUNDLE)
    yield scorer
    scorer.close()


@pytest.fixture
def pairlift() -> Run:
    """The command line, as a user runs it."""
    return run_pairlift


def run_pairlift(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command line and return its exit code and output."""
    command = [sys.executable, "-m", "pairlift", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, **options)  # type: ignore[call-overload]


def read_vocabulary() -> list[str]:
    """Return BERT's own uncased vocabulary."""
    return (CORPUS / "vocab/bert_uncased_vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
