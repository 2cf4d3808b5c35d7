"""The process that runs TensorFlow: fills the bundle's directory, and fails if an artefact disagrees with Keras."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from pairlift.errors import PairliftError
from pairlift.jobs.child import serve_parent
from pairlift_export.job import ExportJob

LOG_SHOWN = 4000  # characters of the libraries' own output shown when there is a bug


@contextlib.contextmanager
def kept_quiet() -> Iterator[None]:
    """Redirect what the libraries print to stdout and stderr to a file, and print its end if the block has a bug."""
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


def work(job: ExportJob) -> str:
    """Carry out a job, and return the report on the bundle."""
    with kept_quiet():
        from pairlift_export.artefacts import write_artefacts

        return "\n".join(write_artefacts(job))


if __name__ == "__main__":
    sys.exit(serve_parent(ExportJob, work))
