"""The README's Python and that of the public API run as they are written, and name what there is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pairlift
import pytest
from conftest import ROOT, SMALL_BUNDLE
from pairlift.__main__ import make_cli
from pairlift_training.recipe import recipe_names

README = (ROOT / "README.md").read_text(encoding="utf-8")


API = (ROOT / "docs/api.md").read_text(encoding="utf-8")
PAGES = [path.relative_to(ROOT) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))]


def run_example(code: str, folder: Path) -> str:
    """Run an example where `make export` has been, and return what it prints."""
    shutil.copytree(SMALL_BUNDLE, folder / "out/bundle")
    (folder / "docs").mkdir()
    shutil.copy(ROOT / "docs/pairs.csv", folder / "docs")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=True)
    return done.stdout


def test_the_python_example_runs(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    printed = run_example(code, tmp_path)
    assert printed.startswith("('entailment', 'neutral', 'contradiction')\n[[")
    assert len(code.strip().splitlines()) <= 7


def test_the_examples_of_the_api_run(tmp_path: Path) -> None:
    of_pairs, of_files = re.findall(r"```python\n(.*?)```", API, re.DOTALL)
    first, second, third = run_example(of_pairs, tmp_path / "pairs").splitlines()
    assert first == second
    assert first.partition(" ")[0] in ("entailment", "neutral", "contradiction")
    assert third == "not_a_pair found str, expected two texts, or an object with hypothesis and premise"
    rows = len((ROOT / "docs/pairs.csv").read_text().splitlines()) - 1
    assert run_example(of_files, tmp_path / "files") == f"{rows} {rows} {{}}\n"


def test_the_api_page_has_each_public_name_and_each_is_what_its_module_has() -> None:
    named = re.findall(r"^\| `(\w+)` \|", API, re.MULTILINE)
    assert sorted([*named, "__version__"]) == sorted(pairlift.__all__)
    found = {name: getattr(pairlift, name) for name in named}
    assert found["errors"] is sys.modules["pairlift.errors"]
    assert all(found[name].__name__ == name for name in named if name != "errors")
    codes = dict(re.findall(r"`(\w+Error)`\s(\d+)", API))
    assert codes == {
        kind.__name__: str(kind.exit_code)
        for kind in pairlift.errors.PairliftError.__subclasses__()
        if "exit_code" in vars(kind)
    }
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = pairlift.nothing


def test_importing_the_package_imports_nothing_else_of_it() -> None:
    code = "import sys, pairlift; print(sorted(n for n in sys.modules if n.partition('.')[0] in ('pairlift', 'numpy', 'onnxruntime')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['pairlift', 'pairlift.version']\n"


def test_every_command_recipe_and_page_it_names_is_there() -> None:
    blocks = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    commands = set(re.findall(r"^pairlift (\w+)", blocks, re.MULTILINE))
    assert commands == set(make_cli().commands)
    assert all(f"`{name}`" in README for name in recipe_names())
    pages = re.findall(r"\]\((docs/[^)]+)\)", README)
    assert pages
    assert all((ROOT / page.partition("#")[0]).is_file() for page in pages)


def slug(heading: str) -> str:
    """Return what a link to a heading ends in."""
    return re.sub(r"[^\w -]", "", heading.lstrip("# ").lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_to_a_page_and_a_heading_that_are_there(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        name, _, heading = link.partition("#")
        if "://" in name:
            continue
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), link
        if heading:
            lines = target.read_text(encoding="utf-8").splitlines()
            assert heading in [slug(line) for line in lines if line.startswith("#")], link


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_prose_is_wrapped_at_a_hundred_columns(page: Path) -> None:
    text = re.sub(
        r"```.*?```|<!-- \[\[\[cog.*?\[\[\[end\]\]\] -->",
        "",
        (ROOT / page).read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    assert [line for line in text.splitlines() if len(line) > 100 and not line.startswith("|")] == []
