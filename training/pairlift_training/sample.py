"""The embedded data set `sample:nli`: pairs of English sentences from a small grammar.

The hypothesis is drawn first, by rules that do not know the label. The premise is then built for the label. So the
hypothesis alone reveals nothing about the label, and only a model that reads both sentences can score well.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from pairlift_training.labels import NLI_LABELS

LABELS = NLI_LABELS
SPLITS = {"train": 12000, "validation": 1500, "test": 1500}
SEED = 2026

NUMBERS = ("two", "three", "four", "five")
KINDS = {"animal": ("dog", "cat"), "person": ("boy", "girl"), "vehicle": ("car", "truck")}
COLOURS = ("red", "blue", "green", "black")
PLACES = ("park", "house", "street", "garden")
VERBS = ("waiting", "moving", "resting", "turning")
SIZES = ("", "big ", "small ", "old ")
TIMES = ("today", "now", "again", "at noon", "at night", "this morning", "this evening", "as usual")
NONE = ("no", "not one", "not any", "not a single")

Pair = tuple[str, str]
Template = Callable[[random.Random, str], Pair]


def _things() -> tuple[str, ...]:
    return tuple(thing for things in KINDS.values() for thing in things)


def _other(draw: random.Random, options: tuple[str, ...], found: str) -> str:
    return draw.choice([option for option in options if option != found])


def _say(draw: random.Random, clause: str) -> str:
    """Return a premise that ends in a time, which no hypothesis mentions."""
    return f"{clause} {draw.choice(TIMES)}"


def count(draw: random.Random, label: str) -> Pair:
    """How many there are: the same number, another, or of something else."""
    number, thing, where = draw.choice(NUMBERS), draw.choice(_things()), draw.choice(PLACES)
    hypothesis = f"there are {number} {thing}s"
    if label == "contradiction":
        number = _other(draw, NUMBERS, number)
    elif label == "neutral":
        thing = _other(draw, _things(), thing)
    return _say(draw, f"there are {number} {draw.choice(SIZES)}{thing}s in the {where}"), hypothesis


def attribute(draw: random.Random, label: str) -> Pair:
    """What colour a thing is: the same, another, or not said."""
    colour, thing, where = draw.choice(COLOURS), draw.choice(_things()), draw.choice(PLACES)
    hypothesis = f"the {thing} is {colour}"
    if label == "contradiction":
        colour = _other(draw, COLOURS, colour)
    said = "" if label == "neutral" else f"{colour} "
    return _say(draw, f"the {draw.choice(SIZES)}{said}{thing} is in the {where}"), hypothesis


def place(draw: random.Random, label: str) -> Pair:
    """Where a thing is: there, elsewhere, or not said."""
    thing, where, verb = draw.choice(_things()), draw.choice(PLACES), draw.choice(VERBS)
    hypothesis = f"the {thing} is in the {where}"
    if label == "contradiction":
        where = _other(draw, PLACES, where)
    said = "" if label == "neutral" else f" in the {where}"
    return _say(draw, f"the {draw.choice(SIZES)}{thing} is {verb}{said}"), hypothesis


def negation(draw: random.Random, label: str) -> Pair:
    """Whether a thing does something: the premise says the same, the opposite, or something about another thing."""
    thing, verb = draw.choice(_things()), draw.choice(VERBS)
    denied = draw.random() < 0.5
    hypothesis = f"the {thing} is {'not ' if denied else ''}{verb}"
    if label == "contradiction":
        denied = not denied
    elif label == "neutral":
        thing, denied = _other(draw, _things(), thing), draw.random() < 0.5
    return _say(draw, f"the {draw.choice(SIZES)}{thing} is {'not ' if denied else ''}{verb}"), hypothesis


def hypernym(draw: random.Random, label: str) -> Pair:
    """Whether one of a kind does something: one does, none of them does, or one of another kind does."""
    kind, verb, where = draw.choice(tuple(KINDS)), draw.choice(VERBS), draw.choice(PLACES)
    hypothesis = f"some {kind} is {verb} in the {where}"
    if label == "contradiction":
        return _say(draw, f"{draw.choice(NONE)} {kind} is {verb} in the {where}"), hypothesis
    if label == "neutral":
        kind = _other(draw, tuple(KINDS), kind)
    return _say(draw, f"the {draw.choice(SIZES)}{draw.choice(KINDS[kind])} is {verb} in the {where}"), hypothesis


TEMPLATES: tuple[Template, ...] = (count, attribute, place, negation, hypernym)


def generate(split: str) -> list[tuple[str, str, str]]:
    """Return (premise, hypothesis, label) rows: balanced in each template, no pair twice in or between splits.

    Args:
        split: `train`, `validation` or `test`.
    """
    draw = random.Random(SEED)
    groups = [(template, label) for template in TEMPLATES for label in LABELS]
    rows: list[tuple[str, str, str]] = []
    used: set[Pair] = set()
    for turn in range(sum(SPLITS.values())):
        template, label = groups[turn % len(groups)]
        pair = template(draw, label)
        while pair in used:
            pair = template(draw, label)
        used.add(pair)
        rows.append((*pair, label))
    return _cut(rows, split)


def _cut(rows: list[tuple[str, str, str]], split: str) -> list[tuple[str, str, str]]:
    start = 0
    for name, size in SPLITS.items():
        if name == split:
            return rows[start : start + size]
        start += size
    raise KeyError(split)
