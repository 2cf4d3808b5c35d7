"""Workers of Ray that do to a job what machines do: they die or hang at certain texts, for as long as a file is there.

A process that has this folder's copy as `sitecustomize` on its path reads the files of the directory PAIRLIFT_SPOIL. A text
`<verb> <name>` is carried out by the worker that reads it while there is a file `<name>`:

    poison NAME     the process kills itself, by SIGKILL
    once NAME       the same, after it has removed the file
    hold NAME       it waits until the file is removed

PAIRLIFT_LOT_BYTES says up to which size inputs are one lot.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

VERBS = ("poison", "once", "hold")


def _carry_out(verb: str, file: Path) -> None:
    while file.exists():
        if verb == "once":
            file.unlink()
        if verb != "hold":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.02)


def _spoil(folder: Path) -> None:
    from pairlift.inputs import names as inputs
    from pairlift.jobs import chunks

    inputs.LOT_BYTES = int(os.environ.get("PAIRLIFT_LOT_BYTES", inputs.LOT_BYTES))
    read_pair = chunks.read_pair

    def read_spoiled(row: Any, columns: Any) -> Any:
        pair = read_pair(row, columns)
        for text in pair:
            verb, _, name = text.partition(" ")
            if verb in VERBS and name:
                _carry_out(verb, folder / name)
        return pair

    chunks.read_pair = read_spoiled


if "PAIRLIFT_SPOIL" in os.environ and b"default_worker.py" in Path("/proc/self/cmdline").read_bytes():
    _spoil(Path(os.environ["PAIRLIFT_SPOIL"]))
