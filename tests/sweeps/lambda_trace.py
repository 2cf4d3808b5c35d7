"""No telemetry: every file that the function opens for writing, and every connection it makes, seen by strace.

    PYTHONPATH=tests python tests/sweeps/lambda_trace.py [BUNDLE] [ROWS]

Needs strace. The container starts from the built zip, scores pairs and an object, with a home directory that it could write to, and
its threads are traced from the first instruction on. Nothing may be opened for writing, made, renamed or removed, tried or done, but
/dev/null; and nothing may be listened at, connected to or sent to, but the Runtime API and the endpoint of S3. As a control the same is counted
for onnxruntime alone, imported and used without the variable that pairlift sets.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from bucket import serve_moto
from lambda_function import PYTHON, ROOT, Code, build_code, take_sources
from lambda_runtime import LambdaRuntime
from lambda_work import check_work, find_endpoint

WRITES = re.compile(r"O_(WRONLY|RDWR|CREAT|TRUNC|APPEND|TMPFILE)")
CHANGES = (
    "creat", "mkdir", "mkdirat", "mknod", "mknodat", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat",
    "unlink", "unlinkat", "rmdir", "truncate", "chmod", "fchmodat", "chown", "fchownat", "utimensat", "setxattr", "memfd_create",
)  # fmt: skip
OPENS = ("open", "openat", "openat2")
NETWORK = ("connect", "listen", "sendto", "sendmsg", "sendmmsg")  # urllib3 binds ::1 to see whether there is IPv6
CALL = re.compile(r"(?:\d+ +)?(\w+)\((.*)")
PLACE = re.compile(r'sin_port=htons\((\d+)\), sin_addr=inet_addr\("([\d.]+)"\)')
CONTROL = """
import sys, onnxruntime
onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What was seen.

    Attributes:
        calls: How many calls of each kind.
        writes: Calls that open for writing, or change a folder.
        reached: Addresses that were connected or sent to.
        strangers: Other calls of the network.
    """

    calls: Counter[str]
    writes: list[str]
    reached: Counter[str]
    strangers: list[str]


def read_trace(log: Path) -> Trace:
    """Return what a log of strace holds."""
    calls: Counter[str] = Counter()
    reached: Counter[str] = Counter()
    writes, strangers = [], []
    for line in log.read_text(errors="replace").splitlines():
        found = CALL.match(line)
        if found is None:  # the end of a call that was interrupted, a signal, an exit
            continue
        name, rest = found.groups()
        calls[name] += 1
        if name in CHANGES or (name in OPENS and WRITES.search(rest) and '"/dev/null"' not in rest):
            writes.append(line)
        elif name in NETWORK:
            place = PLACE.search(rest)
            if place:
                reached[f"{place[2]}:{place[1]}"] += 1
            elif "sa_family=" in rest or name in ("connect", "listen"):
                strangers.append(line)
    return Trace(calls=calls, writes=writes, reached=reached, strangers=strangers)


def trace_command(log: Path) -> list[str]:
    """Return what a command line goes after; the command stays the process that was started."""
    calls = ",".join(f"?{name}" for name in (*OPENS, *CHANGES, *NETWORK))  # not every machine has every call
    return ["strace", "-D", "-f", "-qq", "-s", "300", "-o", str(log), "-e", f"trace={calls}"]


def trace_function(code: Code, bundle: Path, folder: Path, port: int, rows: int) -> tuple[Trace, str]:
    """Run the function under strace; return what was seen, and the address of the Runtime API."""
    home = folder / "home"
    home.mkdir()
    path = os.pathsep.join(str(part) for part in (code.sources, code.task, code.runtime) if part)
    environment = find_endpoint(port) | {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    container = LambdaRuntime(path, environment, code.task, python=code.python, under=trace_command(folder / "log"))
    with container:
        check_work(container, port, bundle, rows)
        assert "Traceback" not in container.read_log(), container.read_log()
    assert list(home.iterdir()) == []
    return read_trace(folder / "log"), container.api


def trace_onnxruntime(code: Code, bundle: Path, folder: Path) -> Trace:
    """Return what onnxruntime does by itself."""
    home = folder / "control"
    home.mkdir()
    path = os.pathsep.join(str(part) for part in (code.task, code.runtime) if part)
    command = [*trace_command(folder / "control.log"), code.python, "-c", CONTROL, str(bundle / "model.onnx")]
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return read_trace(folder / "control.log")


def main(bundle: str = str(ROOT / "tests/data/bundle"), rows: str = "2000") -> None:
    """Trace both, and judge the first."""
    with tempfile.TemporaryDirectory() as temporary, serve_moto() as port:
        folder = Path(temporary)
        code = build_code(folder, Path(bundle), PYTHON) if PYTHON else take_sources(folder, Path(bundle))
        control = trace_onnxruntime(code, Path(bundle), folder)
        print(
            f"onnxruntime by itself: {len(control.writes)} such calls on files, {sum(control.reached.values())} of the network"
        )
        for line in control.writes[:5]:
            print(f"  {line[:160]}")
        trace, api = trace_function(code, Path(bundle), folder, port, int(rows))
    print(
        f"the function, from start over pairs to an object of {rows} rows: {sum(trace.calls.values())} calls seen, of them "
        f"{sum(trace.calls[name] for name in OPENS)} opens and {trace.calls['connect']} connections"
    )
    print(f"opened for writing or changed: {len(trace.writes)}")
    print("reached: " + ", ".join(f"{place} {count}" for place, count in sorted(trace.reached.items())))
    assert trace.calls["openat"] > 500 and trace.calls["connect"] >= 2, "nothing was seen"
    assert trace.writes == [], "\n".join(trace.writes)
    assert trace.strangers == [], "\n".join(trace.strangers)
    assert set(trace.reached) == {api, f"127.0.0.1:{port}"}, trace.reached
    print("nothing was written, and nobody was reached but the Runtime API and the endpoint of S3")


if __name__ == "__main__":
    main(*sys.argv[1:])
