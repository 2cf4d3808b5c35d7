"""The process that has TensorFlow: fills the bundle's directory, and fails rather than leave one that disagrees."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

from pairlift import record
from pairlift.errors import INTERNAL, PairliftError
from pairlift_export.job import ExportJob

LOG_SHOWN = 4000  # characters of the libraries' own output shown when there is a bug


@contextlib.contextmanager
def kept_quiet() -> Iterator[None]:
    """Keep what the libraries print to stdout and stderr in a file, and show its end when the block has a bug."""
    saved = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        failed = False
        try:
            yield
        except PairliftError:
            raise
        except BaseException:
            failed = True
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(saved[0], 1)
            os.dup2(saved[1], 2)
            if failed:
                log.seek(0)
                sys.stderr.write(log.read().decode(errors="replace")[-LOG_SHOWN:])


def main(path: Path) -> int:
    """Carry out the job of a file, and return the exit code."""
    from pairlift.console import report

    job = record.load(ExportJob, path.read_bytes(), str(path))
    try:
        with kept_quiet():
            from pairlift_export.artefacts import write_artefacts

            lines = write_artefacts(job)
    except PairliftError as error:
        return report(error)
    except Exception:
        traceback.print_exc()
        return INTERNAL
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
