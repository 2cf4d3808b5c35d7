"""What `--help` says of each command, in 80 columns."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner
from pairlift import names
from pairlift.__main__ import make_cli
from pairlift.errors import PairliftError
from pairlift_training.recipe import recipe_names


def find_commands(
    command: click.Command, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield each command with the words that it is called by."""
    yield words, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from find_commands(inner, (*words, name))


COMMANDS = dict(find_commands(make_cli()))


def read_help(*words: str) -> str:
    """Return what a command's help prints in 80 columns."""
    done = CliRunner(env={"COLUMNS": "80"}).invoke(make_cli(), [*words, "--help"])
    assert done.exit_code == 0
    return done.output


def test_the_commands_stand_under_what_they_are_for() -> None:
    found = re.findall(r"^(\w+):$|^  (\w+)  ", read_help(), re.MULTILINE)
    assert [heading or name for heading, name in found] == [
        "Options", "Make", "train", "export", "evaluate", "Check", "verify", "inspect", "Score", "score", "plan", "Deploy", "lambda",
    ]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_help_is_cut_or_too_wide(words: tuple[str, ...]) -> None:
    text = read_help(*words)
    assert "..." not in text.replace("DATA...", "").replace("[ARGS]...", "")
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    "words", [words for words, command in COMMANDS.items() if hasattr(command, "commands")], ids=" ".join
)
def test_a_summary_is_one_line(words: tuple[str, ...]) -> None:
    lines = read_help(*words).splitlines()
    for name, command in COMMANDS[words].commands.items():  # type: ignore[attr-defined]
        assert any(line.split() == [name, *command.get_short_help_str(1000).split()] for line in lines), name


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_option_is_explained_by_a_phrase_of_its_own(words: tuple[str, ...]) -> None:
    context = click.Context(COMMANDS[words])
    for option in COMMANDS[words].params:
        if isinstance(option, click.Option):
            said = (option.get_help_record(context) or ("", ""))[1].split("  [")[0]
            assert re.fullmatch(r"[A-Z].*[^.]\.", said, re.DOTALL), option.name
            assert len(said.split()) >= 3, f"{option.name}: {said}"


def test_the_help_of_score_names_its_exit_codes_and_what_it_leaves() -> None:
    text = read_help("score")
    codes = {each.exit_code for each in PairliftError.__subclasses__()}  # 10 too: the golden pairs are replayed
    assert {int(code) for code in re.findall(r"^    (\d+)  ", text, re.MULTILINE)} == {0, 1, *codes}
    assert all(f"OUTPUT{suffix}" in text for suffix in (names.MANIFEST, names.REJECTS, names.JOB))


def test_the_help_of_train_lists_the_recipes() -> None:
    listed = read_help("train").split("--recipe RECIPE")[1].split("TOML file")[0]
    assert set(recipe_names()) <= set(re.findall(r"\w+", listed))


def test_options_of_several_commands_are_spelt_alike() -> None:
    seen: dict[str, set[str]] = {}
    for _, command in COMMANDS.items():
        for option in command.params:
            if option.name in ("variant", "label", "backend", "quoting", "chunk_rows", "restart"):
                seen.setdefault(option.name, set()).add(str(option.to_info_dict()))
    assert {name: len(kinds) for name, kinds in seen.items()} == dict.fromkeys(seen, 1)
    assert len(seen) == 6
