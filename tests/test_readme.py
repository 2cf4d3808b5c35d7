"""The README's Python runs as it is written, and names what there is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import ROOT, SMALL_BUNDLE
from pairlift.__main__ import make_cli
from pairlift_training.recipe import recipe_names

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    shutil.copytree(SMALL_BUNDLE, tmp_path / "out/bundle")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.startswith("('entailment', 'neutral', 'contradiction')\n[[")
    assert len(code.strip().splitlines()) <= 7


def test_every_command_recipe_and_page_it_names_is_there() -> None:
    blocks = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    commands = set(re.findall(r"^pairlift (\w+)", blocks, re.MULTILINE))
    assert commands == set(make_cli().commands)
    assert all(f"`{name}`" in README for name in recipe_names())
    pages = re.findall(r"\]\((docs/[^)]+)\)", README)
    assert pages
    assert all((ROOT / page).is_file() for page in pages)
