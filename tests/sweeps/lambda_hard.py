"""The function under the hardest conditions that Lambda has, all of them at once.

    PYTHONPATH=tests python tests/sweeps/lambda_hard.py [BUNDLE] [ROWS]

Needs root, a Python that Lambda has, and unshare, setpriv, taskset and ip. The built zip lies at /var/task, read-only; /tmp is 512 MB
and new; there is no /dev/shm; the home directory is not there, or cannot be written; the network is the loopback, with the Runtime
API and S3 on it; 1,024 files may be open; there is one processor and 512 MB of memory, held by a control group; and the user is
nobody in particular. The function must start, score pairs and score an object, and its answers and bytes are held to those here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bucket import serve_moto
from lambda_function import PYTHON, ROOT, build_code
from lambda_runtime import LambdaRuntime
from lambda_work import check_work, find_endpoint

MEGABYTES = 512
FILES = 1024
USER = "993"
HOMES = ("/nonexistent", "/var/task")
# $1 the function, $2 Lambda's libraries, $3 the interpreter's folder, $4 the control group; then the command
CONFINE = f"""
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /var
mkdir /var/task /var/runtime /var/lang
for pair in "$1:/var/task" "$2:/var/runtime" "$3:/var/lang"; do
    mount --bind "${{pair%%:*}}" "${{pair#*:}}"
    mount -o remount,bind,ro "${{pair#*:}}"
done
mount -o remount,ro /var
mount -t tmpfs -o size=512m,mode=1777 tmpfs /tmp
while umount -l /dev/shm 2> /dev/null; do :; done
echo $$ > "$4/cgroup.procs"
shift 4
cd /var/task
ulimit -n {FILES}
exec taskset -c 0 setpriv --reuid {USER} --regid {USER} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""


class Group:
    """A control group that holds memory to a limit, of either version."""

    def __init__(self) -> None:
        old = Path("/sys/fs/cgroup/memory")
        self.folder = (old if old.is_dir() else Path("/sys/fs/cgroup")) / f"pairlift-{os.getpid()}"
        self._limit, self._peak = (
            ("memory.limit_in_bytes", "memory.max_usage_in_bytes") if old.is_dir() else ("memory.max", "memory.peak")
        )
        self.folder.mkdir()
        (self.folder / self._limit).write_text(str(MEGABYTES << 20))

    def read_peak(self) -> int:
        """Return the most memory it has had in megabytes, pages of files included."""
        return int((self.folder / self._peak).read_text()) >> 20

    def remove(self) -> None:
        """Remove it."""
        self.folder.rmdir()


def read_status(pid: int) -> dict[str, str]:
    """Return what the kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def check_confined(container: LambdaRuntime) -> None:
    """See that the conditions are what they are said to be."""
    status, root = read_status(container.pid), Path(f"/proc/{container.pid}/root")
    assert status["Uid"].split() == [USER] * 4, status["Uid"]
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0, status["CapEff"]
    assert status["Cpus_allowed_list"] == "0"
    mounts = [line.split() for line in Path(f"/proc/{container.pid}/mounts").read_text().splitlines()]
    options = {mount[1]: mount[3].split(",") for mount in mounts}
    assert all("ro" in options[place] for place in ("/var", "/var/task", "/var/runtime", "/var/lang"))
    assert "/dev/shm" not in options
    assert "size=524288k" in options["/tmp"]
    assert list((root / "dev/shm").iterdir()) == [] and (root / "dev/shm").stat().st_mode & 0o002 == 0
    limits = Path(f"/proc/{container.pid}/limits").read_text()
    (files,) = [line.split()[3:5] for line in limits.splitlines() if line.startswith("Max open files")]
    assert files == [str(FILES)] * 2
    network = Path(f"/proc/{container.pid}/net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in network] == ["lo"], network


def run_confined(folder: Path, bundle: Path, home: str, port: int, rows: int) -> str:
    """Run the function in one home, and return what was seen."""
    assert PYTHON is not None
    group = Group()
    prefix = Path(PYTHON).resolve().parent.parent
    under = ["unshare", "--mount", "sh", "-c", CONFINE, "sh", str(folder / "task"), str(folder / "runtime")]
    environment = find_endpoint(port) | {
        "HOME": home,
        "LAMBDA_TASK_ROOT": "/var/task",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(MEGABYTES),
        "LD_LIBRARY_PATH": "/var/lang/lib",
    }
    python = f"/var/lang/bin/{Path(PYTHON).resolve().name}"
    container = LambdaRuntime(
        "/var/task:/var/runtime", environment, folder, python=python, under=[*under, str(prefix), str(group.folder)]
    )
    try:
        with container:
            seconds = container.wait_until_ready()
            check_confined(container)
            files = len(list(Path(f"/proc/{container.pid}/fd").iterdir()))
            done = check_work(container, port, bundle, rows)
            peak = read_status(container.pid)["VmHWM"]
            left = sorted(str(path) for path in Path(f"/proc/{container.pid}/root/tmp").rglob("*"))
            assert left == [], left
            assert "Traceback" not in container.read_log(), container.read_log()
            entries = container.read_entries()
            assert [entry["failures"] for entry in entries] == [[], []]
        return (
            f"HOME={home}: ready in {seconds:.2f} s, {files} files open; {len(entries)} invocations, {done} rows from S3 to S3; "
            f"peak memory {int(peak.split()[0]) >> 10} MB resident, {group.read_peak()} MB in the group with pages of files, "
            f"of {MEGABYTES} MB; nothing left in /tmp"
        )
    finally:
        group.remove()


def main(bundle: str = str(ROOT / "tests/data/bundle"), rows: str = "9842", folder: str = "") -> None:
    """Build outside, where there is a network, and run inside, where there is none."""
    if folder:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        with serve_moto() as port:
            for home in HOMES:
                print(run_confined(Path(folder), Path(bundle), home, port, int(rows)), flush=True)
        print("the function starts and scores with all of it at once")
        return
    if os.geteuid() != 0 or PYTHON is None:
        sys.exit("needs root, and Python 3.12 or 3.13")
    with tempfile.TemporaryDirectory() as made:
        build_code(Path(made), Path(bundle), PYTHON)
        command = ["unshare", "--net", sys.executable, __file__, bundle, rows, made]
        sys.exit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    main(*sys.argv[1:])
