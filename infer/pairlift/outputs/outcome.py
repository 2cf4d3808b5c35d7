"""The outcome of a job, and its summary."""

from __future__ import annotations

import dataclasses

from pairlift.encoding.counts import Tally
from pairlift.names import REJECTS
from pairlift.outputs.records import JobManifest, LastRun
from pairlift.storage.open import STREAM


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of a job.

    Attributes:
        totals: The counts of rows, tokens and labels.
        last_run: Time, memory and threads of the process that finished the job.
        manifest: The content of OUTPUT.manifest.json; None for standard output.
        finished: Whether an earlier run had already finished the job.
        redone: The number of damaged chunks that were computed again.
    """

    totals: Tally
    last_run: LastRun
    manifest: JobManifest | None = None
    finished: bool = False
    redone: int = 0

    @property
    def resumed(self) -> int:
        """The number of rows that earlier runs had done."""
        return self.last_run.resumed


def describe(outcome: Outcome, output: str) -> str:
    """Return a job's summary: how it ended, then lines about labels, texts, speed, bundle and output."""
    totals, texts, run = outcome.totals, outcome.totals.texts, outcome.last_run
    line = f"{totals.scored} rows scored"
    if totals.rejected:
        reasons = ", ".join(f"{reason} {count}" for reason, count in totals.rejected.items())
        rejects = outcome.manifest.rejects if outcome.manifest else None
        beside = f"{output}{rejects.path}" if output.endswith("/") and rejects else f"{output}{REJECTS}"
        where = "above" if output == STREAM else f"in {beside}"
        line += f", {totals.rows - totals.scored} rejected ({reasons}): {where}"
    if outcome.finished:
        return f"{line} (by an earlier run; nothing to do)"
    if run.resumed:
        line += f"; {run.resumed} rows were done by an earlier run"
    if outcome.redone:
        line += f"; {outcome.redone} damaged chunk{'s were' if outcome.redone > 1 else ' was'} computed again"
    names = outcome.manifest.labels if outcome.manifest else tuple(totals.predicted)
    predicted = ", ".join(
        f"{name} {totals.predicted.get(name, 0)} ({_share(totals.predicted.get(name, 0), totals)})" for name in names
    )
    lines = [
        line,
        f"labels   {predicted}",
        f"texts    {texts.truncated} rows truncated ({texts.lost_tokens} of {texts.tokens} tokens lost), {texts.duplicates} "
        f"duplicates, {texts.unknown_rate:.2%} unknown tokens, {texts.padding_rate:.1%} padding",
        f"run      {run.rows_per_second:,.0f} rows/s, {run.seconds:.1f} s, {run.peak_memory / 1e6:.0f} MB, {run.threads} threads",
    ]
    manifest = outcome.manifest
    if manifest is not None:
        versions = ", ".join(f"{name} {version}" for name, version in manifest.job.runtime.items() if name != "cpu")
        count = len(manifest.parts)
        parts = f" in {count} part{'s' * (count != 1)}" if output.endswith("/") else ""
        lines += [
            f"bundle   {manifest.job.bundle[:12]} {manifest.job.variant}; {versions}",
            f"output   {manifest.output_size} bytes{parts}, sha256 {manifest.output_sha256}",
        ]
    return "\n".join(lines)


def _share(count: int, totals: Tally) -> str:
    return f"{count / max(1, totals.scored):.1%}"
