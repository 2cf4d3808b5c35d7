"""All names that a job uses on disk or in a bucket.

A job of one file or object `NAME`:

    NAME                          the output
    NAME.manifest.json            the job's identity, and the counts of its rows
    NAME.rejects.jsonl            the rejected rows, if there are any
    NAME.job/                     only while the job is not finished: job.json, lock (local files), and MARK/

A job of a directory or prefix:

    part-LOT-ROW-MARK.EXT         a chunk's records: a complete file of its format
    _pairlift/manifest.json       written last; without it the output is not complete
    _pairlift/rejects-MARK.jsonl  the rejected rows, if there are any
    _pairlift/job/                only while a job is not finished: job.json, and MARK/

A job draws a random MARK when it begins. For each chunk, `MARK/` holds a receipt, its rejected rows and (for one file
or object) its records. If several processes share the job, `MARK/` also holds its plan.
"""

from __future__ import annotations

import dataclasses
import re
from typing import NamedTuple
from uuid import uuid4

MANIFEST = ".manifest.json"
REJECTS = ".rejects.jsonl"
JOB = ".job"
FOLDER = "_pairlift"
MANIFEST_OF_PARTS = f"{FOLDER}/manifest.json"
LOCK = "lock"
PARTIAL = ".partial"  # the suffix of files that are being written
MARK = "[0-9a-f]{12}"
PART = re.compile(rf"part-(\d{{5}})-(\d{{12}})-({MARK})(\.[^/]*)?")
OLD_PART = re.compile(r"part-\d{12}\.[^/]*")  # of formats 1 and 2
OLD_MANIFEST = "manifest.json"
OLD_REJECTS = "rejects.jsonl"
OLD_JOB = "_job/"
OLD_JOURNAL = "journal.jsonl"


class Key(NamedTuple):
    """A chunk's name.

    Attributes:
        lot: The number of its lot, from 0. A lot is one large input, or several small ones that follow one another.
        row: The number of its first row in its lot, from 0.
    """

    lot: int
    row: int

    def __str__(self) -> str:
        return f"{self.lot:05d}-{self.row:012d}"


def draw_mark() -> str:
    """Return a random mark, which no other job has."""
    return uuid4().hex[:12]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names of one output's files, relative to the root of its store.

    Attributes:
        output: The file's or object's name; an empty string for a directory or prefix of parts.
        suffix: The extension of the parts of a directory or prefix.
    """

    output: str = ""
    suffix: str = ""

    @property
    def whole(self) -> bool:
        """Whether the output is a directory or prefix, so that each part is a complete file."""
        return not self.output

    @property
    def folder(self) -> str:
        """The job's folder."""
        return f"{FOLDER}/job/" if self.whole else f"{self.output}{JOB}/"

    @property
    def manifest(self) -> str:
        """The job's manifest."""
        return MANIFEST_OF_PARTS if self.whole else f"{self.output}{MANIFEST}"

    def rejects(self, mark: str) -> str:
        """Return the name of the rejected rows."""
        return f"{FOLDER}/rejects-{mark}.jsonl" if self.whole else f"{self.output}{REJECTS}"

    @property
    def job(self) -> str:
        """The file that records the current job."""
        return f"{self.folder}job.json"

    @property
    def lock(self) -> str:
        """The lock of a local file."""
        return f"{self.folder}{LOCK}"

    def folder_of(self, mark: str) -> str:
        """Return the folder of one job."""
        return f"{self.folder}{mark}/"

    def verdict(self, mark: str) -> str:
        """Return the name of a job's verdict: that it is committed or abandoned."""
        return f"{self.folder_of(mark)}verdict.json"

    def probe(self, mark: str) -> str:
        """Return the name of the file with which a store is probed."""
        return f"{self.folder_of(mark)}probe"

    def plan(self, mark: str, lot: int, number: int) -> str:
        """Return the name of one piece of a lot's plan."""
        return f"{self.folder_of(mark)}plan-{lot:05d}-{number:06d}.json"

    def receipt(self, mark: str, key: Key) -> str:
        """Return the name of a chunk's receipt."""
        return f"{self.folder_of(mark)}{key}.json"

    def rejected(self, mark: str, key: Key) -> str:
        """Return the name of a chunk's rejected rows."""
        return f"{self.folder_of(mark)}{key}.rejects"

    def part(self, mark: str, key: Key) -> str:
        """Return the name of a chunk's records."""
        return f"part-{key}-{mark}{self.suffix}" if self.whole else f"{self.folder_of(mark)}{key}.part"

    def find_receipt(self, name: str, mark: str) -> bool:
        """Return whether a name is that of a receipt of a job."""
        return re.fullmatch(rf"{re.escape(self.folder_of(mark))}\d{{5}}-\d{{12}}\.json", name) is not None

    def find_mark(self, name: str) -> str | None:
        """Return the mark of the job that a file belongs to, or None."""
        part = PART.fullmatch(name)
        if part and self.whole and (part[4] or "") == self.suffix:
            return part[3]
        inside = re.fullmatch(rf"{re.escape(self.folder)}({MARK})/.*", name, re.DOTALL)
        rejects = re.fullmatch(rf"{FOLDER}/rejects-({MARK})\.jsonl", name) if self.whole else None
        return (inside or rejects or [None, None])[1]

    def is_ours(self, name: str) -> bool:
        """Return whether a name is one that jobs of this output use."""
        fixed = (self.manifest, self.job, self.lock, self.output)
        return name in fixed or name.startswith(self.folder) or self.find_mark(name) is not None


def is_made(path: str) -> bool:
    """Return whether a path or key is, by its name alone, a file that a job writes besides its output, or a part."""
    *folders, name = path.split("/")
    return (
        name.endswith((MANIFEST, REJECTS))
        or any(folder.endswith(JOB) or folder in (FOLDER, OLD_JOB.rstrip("/")) for folder in folders)
        or PART.fullmatch(name) is not None
    )
