"""The runner's rooms: a row walks through them in one direction, and nothing in them imports what stands below."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from conftest import ROOT

RUNNER = ROOT / "infer/pairlift"
ROOMS = (
    "", "storage", "encoding", "formats", "model", "inputs", "outputs", "jobs", "ray", "aws", "deploy", "commands",
)  # fmt: skip
DOORS = {"pairlift", "pairlift.__main__"}  # they name what is public, and what the command line has
APART = {
    ("inputs", "outputs"), ("inputs", "model"), ("outputs", "inputs"), ("outputs", "model"), ("ray", "aws"), ("aws", "ray"),
}  # fmt: skip
GROUND = {
    "__init__", "__main__", "choices", "console", "digest", "errors", "machine", "names", "record", "signals", "version",
}  # fmt: skip
LONGEST = 50


def name_of(path: Path) -> str:
    """Return the name of a module."""
    parts = path.relative_to(RUNNER.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in RUNNER.rglob("*.py")}


def find_imports(tree: ast.Module) -> Iterator[str]:
    """Yield the modules of the runner that a module imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield from [name for name in (whole, node.module) if name in MODULES][:1]


ARROWS = {name: set(find_imports(tree)) - {name} for name, tree in MODULES.items()}


def room_of(name: str) -> str:
    """Return the room that a module is in; an empty string for the ground that all stand on."""
    room = [*name.split("."), ""][1]
    return room if (RUNNER / room).is_dir() else ""


def test_there_are_twelve_rooms_at_most_and_only_the_ground_beside_them() -> None:
    rooms = {path.name for path in RUNNER.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == set(ROOMS) - {""}
    assert len(ROOMS) <= 12
    assert {path.stem for path in RUNNER.glob("*.py")} == GROUND


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_above_it(room: str) -> None:
    wrong = [
        f"{name} -> {other}"
        for name, others in ARROWS.items()
        for other in others
        if name not in DOORS and room_of(name) == room != room_of(other)
        if ROOMS.index(room_of(other)) > ROOMS.index(room) or (room, room_of(other)) in APART
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter(ARROWS).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_commands_are_imported_by_the_door_alone() -> None:
    users = {name for name, others in ARROWS.items() if any(room_of(other) == "commands" for other in others)}
    assert {name for name in users if room_of(name) != "commands"} == {"pairlift.__main__"}


def find_functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the functions of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def count_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines a function's body has, without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_no_function_is_longer_than_fifty_lines() -> None:
    packages = (ROOT / folder for folder in ("infer", "export", "training"))
    files = (path for package in packages for path in package.rglob("*.py"))
    found = {
        f"{path.relative_to(ROOT)}:{function.name}": count_lines(function)
        for path in files
        for function in find_functions(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert {name: lines for name, lines in found.items() if lines > LONGEST} == {}
    assert found["infer/pairlift/jobs/job.py:score_file"] < 40
