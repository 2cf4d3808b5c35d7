"""What each exit code means, for the help and for the docs."""

from __future__ import annotations

EXIT_CODES = {
    "0": "all rows are scored, or --accept-rejects",
    "1": "some rows are rejected, the others are scored",
    "2": "the command is wrong, a column is missing, or an extra is not installed",
    "3": "an input cannot be read, or is not supported",
    "4": "BUNDLE is refused",
    "5": "the disk or the bucket fails",
    "6": "more rows are rejected than --max-rejects allows",
    "7": "OUTPUT exists, or another process is at work on it",
    "8": "INPUT, BUNDLE or an option has changed since the job began",
    "9": "a bug in pairlift",
    "10": "the export or this machine does not agree with Keras",
    "130, 141, 143": "stopped by a signal; run the same command to continue",
}
