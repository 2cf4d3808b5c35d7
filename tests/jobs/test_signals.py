"""A signal ends a command with its code and one line, wherever it comes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pairlift import Scorer
from pairlift.encoding.packing import Batch
from pairlift.errors import SIGNALLED

KILL = "os.kill(os.getpid(), signal.{name})"


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_an_import_is_one_line(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "slow.py").write_text(
        f"import os, signal\ntry:\n    os.kill(os.getpid(), {int(number)})\nexcept BaseException:\n    raise ImportError\n"
    )
    done = run(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from pairlift.signals import end_on_signals; end_on_signals(); import slow"
    )
    assert done.returncode == SIGNALLED + number
    assert done.stderr == f"stopped by {number.name}; nothing was left half-written\n"


def test_the_command_is_ready_for_signals_before_it_imports_what_takes_long() -> None:
    done = run("import sys, pairlift.__main__; print(*sys.modules)")
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {"numpy", "click", "onnxruntime", "tokenizers", "orjson", "tqdm"}


def test_a_signal_ends_a_process_that_nobody_listens_to() -> None:
    code = (
        "import contextlib, os, signal, time; from pairlift.signals import end_on_signals; end_on_signals()\n"
        "read, write = os.pipe(); os.close(read); os.dup2(write, 2)\n"
        "with contextlib.suppress(OSError):\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(5)\nos._exit(0)"
    )
    assert run(code).returncode == SIGNALLED + signal.SIGTERM


def test_what_has_not_begun_is_not_done_when_a_scorer_is_closed(bundle: Path) -> None:
    scorer = Scorer.open(bundle, threads=1)
    begun: list[int] = []

    def slow(batch: Batch) -> Any:
        begun.append(len(batch.token_ids))
        time.sleep(0.2)
        raise RuntimeError

    scorer.run = slow  # type: ignore[method-assign]
    scorer.submit([(f"dog {'cat ' * (i % 8)}", "x") for i in range(1000)])
    scorer.close()
    assert len(begun) <= 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_staged_directory_is_removed_by_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    done = run(
        "import os, signal, sys, time\nfrom pathlib import Path\nfrom pairlift.signals import end_on_signals\nend_on_signals()\n"
        "from pairlift.console import run_command\nfrom pairlift.storage.staging import staged_directory\n"
        f"def work():\n    with staged_directory(Path({str(tmp_path / 'made')!r}), 'mark'):\n"
        f"        os.kill(os.getpid(), {int(number)})\n        time.sleep(60)\nsys.exit(run_command(work))"
    )
    assert (done.returncode, done.stderr) == (SIGNALLED + number, f"stopped by {number.name}; nothing was left half-written\n")  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    done = run(
        "import os, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from pairlift.signals import end_on_signals, noted_signals\nend_on_signals()\n"
        "with noted_signals() as noted:\n    os.kill(os.getpid(), signal.SIGINT)\nprint(noted)"
    )
    assert (done.returncode, done.stdout) == (0, "[]\n")
