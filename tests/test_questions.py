"""Each question of tests/questions.md has its answer under the heading that it names."""

from __future__ import annotations

import pytest
from conftest import ROOT

QUESTIONS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "tests/questions.md").read_text(encoding="utf-8").splitlines()
    if "?" in line and line.startswith("|")
]


def test_there_are_twenty_questions_at_least() -> None:
    assert len(QUESTIONS) >= 20


@pytest.mark.parametrize(("question", "page", "heading"), QUESTIONS)
def test_the_heading_that_answers_a_question_is_there(question: str, page: str, heading: str) -> None:
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    assert heading in [line.lstrip("# ") for line in lines if line.startswith("#")], question
