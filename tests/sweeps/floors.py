"""The runner's own tests at the lowest version of each of its ranges.

    python tests/sweeps/floors.py [PYTHON]…

For each Python (python3.11 and python3.13 by default) an environment is made with the lowest versions that pyproject.toml allows
for the base install and the extras parquet and zstd, and the tests that need no more run in it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent.parent
EXTRAS = ("parquet", "zstd")
TOOLS = ("pytest>=9", "pytest-timeout>=2.4", "hypothesis>=6.100", "pandas>=2.2")
TESTS = (
    "tests/encoding/test_counts.py", "tests/encoding/test_packing.py", "tests/formats", "tests/inputs/test_plan.py",
    "tests/jobs/test_resume.py", "tests/jobs/test_signals.py", "tests/model/test_bundle.py", "tests/model/test_metrics.py",
    "tests/model/test_scorer.py", "tests/commands", "tests/outputs/test_ledger.py", "tests/test_record.py", "tests/test_rooms.py",
)  # fmt: skip


def find_floors(version: str) -> list[str]:
    """Return the lowest version of each requirement, for a version of Python such as 3.11."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *(line for extra in EXTRAS for line in project["optional-dependencies"][extra])]
    floors = []
    for requirement in map(Requirement, asked):
        if requirement.marker is None or requirement.marker.evaluate({"python_version": version}):
            (lowest,) = (each.version for each in requirement.specifier if each.operator == ">=")
            floors.append(f"{requirement.name}=={lowest}")
    return floors


def run_floors(python: str) -> int:
    """Run the tests with one Python; return pytest's exit code."""
    asked = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    version = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    floors = find_floors(version)
    print(f"Python {version}: {', '.join(floors)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        inside = f"{folder}/bin/python"
        pip = [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--only-binary", ":all:", *floors, *TOOLS], check=True)
        subprocess.run([*pip, "--no-deps", "--editable", str(ROOT)], check=True)
        command = [inside, "-m", "pytest", "-m", "not slow and not keras", "-p", "no:cacheprovider", *TESTS]
        return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(max(run_floors(python) for python in sys.argv[1:] or ["python3.11", "python3.13"]))
