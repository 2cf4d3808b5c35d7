"""Vocabularies for models from scratch: read from files, or derived from the data, deterministically."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pairlift.encoding.tokenizer import TokenizerRecord
from pairlift.encoding.wordpiece import WordPiece
from pairlift.errors import InputError

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MOST_WORDS = 30000


def derive_vocabulary(texts: Iterable[str], lowercase: bool) -> list[str]:
    """Return a word-piece vocabulary: the special tokens, the characters and continuing characters, the words.

    Each part is sorted, so that the ids do not depend on the order of the texts. Only the most frequent words are kept.
    """
    splitter = WordPiece(TokenizerRecord(family="wordpiece", vocabulary=SPECIAL, lowercase=lowercase, unknown="[UNK]"))
    words = Counter(word for text in texts for word in splitter.split(text))
    characters = sorted({character for word in words for character in word})
    kept = sorted(words, key=lambda word: (-words[word], word))[:MOST_WORDS]
    whole = sorted(word for word in kept if len(word) > 1)
    return [*SPECIAL, *characters, *(f"##{c}" for c in characters), *whole]


def read_wordpieces(path: Path) -> list[str]:
    """Return a vocabulary file's tokens, one a line, in id order.

    Raises:
        InputError: The file cannot be read, or lacks one of the special tokens.
    """
    tokens = _read(path).split("\n")
    tokens = [token.rstrip() for token in (tokens[:-1] if tokens[-1] == "" else tokens)]
    missing = [token for token in SPECIAL if token not in tokens]
    if missing:
        raise InputError(
            f"{path}: no {', '.join(missing)} among {len(tokens)} tokens; expected a BERT vocabulary, one token a line"
        )
    return tokens


def read_bytepairs(vocabulary: Path, merges: Path) -> tuple[dict[str, int], list[str]]:
    """Return a byte-pair vocabulary and its merge rules.

    Raises:
        InputError: A file cannot be read, or has another format.
    """
    try:
        tokens = json.loads(_read(vocabulary))
    except ValueError as error:
        raise InputError(f"{vocabulary}: not valid JSON ({error}); expected an object of token: id") from None
    if not isinstance(tokens, dict) or not all(isinstance(i, int) for i in tokens.values()):
        raise InputError(f"{vocabulary}: expected a JSON object of token: id")
    rules = [line.rstrip() for line in _read(merges).splitlines() if line.strip() and not line.startswith("#version")]
    bad = next((rule for rule in rules if rule.count(" ") != 1), None)
    if bad is not None:
        raise InputError(f"{merges}: found {bad!r}, expected two tokens with a space between on each line")
    return tokens, rules


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error})") from None
