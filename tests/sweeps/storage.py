"""Storage that says no: a full disk, a device that is always full, a directory that may not be written.

    python tests/sweeps/storage.py

Needs root (to mount a small tmpfs, in a mount namespace of its own, and to give up its power over permissions). Each time the
job must end with exit code 5 and one line, the destination must not be there, and where space comes back the same command must
go on to the bytes of an undisturbed job.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from small import DONE, JOB, SUFFIXES, check_resume, digests, find_receipts, make_input, run

BIG_ROWS = 3000


def check_refused(done: subprocess.CompletedProcess[str], output: Path, where: str) -> None:
    """Hold a job that could not write to exit code 5, one line, and no output."""
    assert done.returncode == 5, f"{where}: exit {done.returncode}: {done.stderr}"
    assert len(done.stderr.splitlines()) == 1, f"{where}: {done.stderr}"
    assert not os.path.lexists(output), where
    print(f"{where}: {done.stderr.strip()}")


def fill_small_disk(folder: Path) -> None:
    """Score onto a tmpfs of 1 MB that is too small, then give it room."""
    source = folder / "big.jsonl"
    lines = [json.dumps({"premise": f"the dog {i}", "hypothesis": os.urandom(150).hex()}) for i in range(BIG_ROWS)]
    source.write_text("\n".join(["{broken", *lines]))
    for suffix in SUFFIXES:
        calm = folder / f"calm{suffix}" / f"out{suffix}"
        calm.parent.mkdir()
        assert run(source, calm).returncode == DONE
        disk = folder / f"disk{suffix}"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=True)
        try:
            output = disk / f"out{suffix}"
            done = run(source, output)
            check_refused(done, output, f"tmpfs of 1 MB, {suffix}")
            assert len(find_receipts(output)) > 9, "nothing was kept"
            subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
            check_resume(source, output, digests(calm), f"with room again, {suffix}")
        finally:
            subprocess.run(["umount", str(disk)], check=True)


def write_to_full_device(folder: Path) -> None:
    """Write standard output, and a job that reaches it through a link, to a device that is always full."""
    source = make_input(folder)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*JOB, "stub", str(source), "-"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 5, done.stderr
    assert done.stderr.startswith("error: cannot write standard output: No space left on device"), done.stderr
    print(f"/dev/full: {done.stderr.strip()}")
    link = folder / "full.jsonl"
    link.symlink_to("/dev/full")
    done = run(source, link)
    assert done.returncode == 7, f"{done.returncode}: {done.stderr}"
    assert link.is_symlink()
    print(f"a link to /dev/full: {done.stderr.strip()}")


def write_to_read_only_directory(folder: Path) -> None:
    """Score into a directory that may not be written, then make it writable."""
    source = make_input(folder)
    for suffix in SUFFIXES:
        calm = folder / f"calm2{suffix}" / f"out{suffix}"
        calm.parent.mkdir()
        assert run(source, calm).returncode == DONE
        output = folder / f"shut{suffix}" / f"out{suffix}"
        output.parent.mkdir(mode=0o555)
        under = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]  # root that has to keep to permissions
        check_refused(run(source, output, under=under), output, f"a read-only directory, {suffix}")
        assert list(output.parent.iterdir()) == []
        output.parent.chmod(0o755)
        done = run(source, output, under=under)
        assert done.returncode == DONE, done.stderr
        assert digests(output) == digests(calm)


def main() -> None:
    """Run the three in a mount namespace of their own."""
    if "--inside" not in sys.argv:
        sys.exit(subprocess.run(["unshare", "--mount", sys.executable, __file__, "--inside"], check=False).returncode)
    with tempfile.TemporaryDirectory() as folder:
        for check in (fill_small_disk, write_to_full_device, write_to_read_only_directory):
            check(Path(folder))
    print("storage: everything was refused with exit code 5 and went on when it could")


if __name__ == "__main__":
    main()
