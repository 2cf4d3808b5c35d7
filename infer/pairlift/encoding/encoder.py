"""The pair encoder: turns pairs of texts into the arrays that a graph takes, exactly as KerasHub's preprocessor does.

Training and the runner tokenise with it, and the export compares it with KerasHub.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from pairlift.encoding.bytepair import BytePair
from pairlift.encoding.packing import Batch, Packing, pack
from pairlift.encoding.tokenizer import Tokenizer, TokenizerRecord, Tokens
from pairlift.encoding.wordpiece import WordPiece
from pairlift.errors import BundleError, InputError, RowError

WINDOW_ROWS = 2048  # rows tokenised and sorted together; bounds the memory, and no batch spans two windows

Pair = tuple[str, str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EncoderRecord:
    """A tokenizer and a packing, which determine the token ids."""

    tokenizer: TokenizerRecord
    packing: Packing


class PairEncoder:
    """Turns pairs of texts into token ids, padding mask and segment ids."""

    def __init__(self, record: EncoderRecord) -> None:
        self.record = record
        self._tokenizer = _build_tokenizer(record.tokenizer)
        self._turn = threading.Lock()  # the tokenizer caches the words that it has encoded

    @property
    def packing(self) -> Packing:
        """How pairs are packed."""
        return self.record.packing

    @property
    def unknown(self) -> int | None:
        """The id of the token for a word that cannot be encoded; None if every word can be."""
        record = self.record.tokenizer
        return record.vocabulary.index(record.unknown) if record.unknown else None

    def tokenize(self, texts: list[str]) -> Tokens:
        """Return the token ids of texts, without truncation or special tokens. One thread at a time does so.

        Raises:
            UnicodeEncodeError: A text holds a lone surrogate.
        """
        with self._turn:
            return self._tokenizer.encode(texts)

    def encode(self, pairs: Sequence[Pair], width: int | None = None) -> Batch:
        """Encode pairs as one batch.

        Args:
            pairs: Texts in the order of the segments.
            width: Columns of the batch; the longest row's length when None.

        Raises:
            UnicodeEncodeError: A text holds a lone surrogate.
        """
        tokens = self.tokenize([text for pair in pairs for text in pair])
        first = np.arange(0, 2 * len(pairs), 2)
        return pack(self.packing, tokens, first, first + 1, width)


def check_text(value: object, name: str) -> str:
    """Return a value if it can be tokenised.

    Raises:
        RowError: The value is not a string (`not_text`), or UTF-8 cannot hold it (`lone_surrogate`).
    """
    if not isinstance(value, str):
        raise RowError(
            "not_text", f"{name}: found {'null' if value is None else type(value).__name__}, expected a string"
        )
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise RowError("lone_surrogate", f"{name}: a lone surrogate at character {error.start}") from None
    return value


def check_field(value: object, name: str) -> str:
    """Return a value if a tokenizer would read all of it.

    Raises:
        RowError: As for `check_text`, or the text contains NUL (`nul`).
    """
    text = check_text(value, name)
    if "\0" in text:
        raise RowError("nul", f"{name}: NUL at character {text.index(chr(0))}, where a tokenizer would stop reading")
    return text


def read_keras_preprocessor(preprocessor: Any) -> EncoderRecord:
    """Read the encoder from the attributes of a KerasHub text classifier preprocessor.

    Raises:
        InputError: The tokenizer is of an unsupported kind, or has an option that is not supported.
    """
    tokenizer = preprocessor.tokenizer
    kinds = {kind.__name__ for kind in type(tokenizer).__mro__}
    if "BertTokenizer" in kinds:
        record, separators = _read_wordpiece(tokenizer), 1
    elif "RobertaTokenizer" in kinds:
        record, separators = _read_bytepair(tokenizer), 2
    else:
        raise InputError(f"tokenizer {type(tokenizer).__name__}: expected a BertTokenizer or a RobertaTokenizer")
    end = int(tokenizer.end_token_id)
    packing = Packing(
        sequence_length=int(preprocessor.sequence_length),
        truncation=str(preprocessor.truncate),
        start=(int(tokenizer.start_token_id),),
        separator=(end,) * separators,
        end=(end,),
        pad=int(tokenizer.pad_token_id),
        segment_ids=record.family == "wordpiece",
    )
    if packing.sequence_length < packing.special_tokens:
        raise InputError(
            f"sequence length {packing.sequence_length}: expected at least {packing.special_tokens}, "
            "which the special tokens of a pair take"
        )
    return EncoderRecord(tokenizer=record, packing=packing)


def _read_wordpiece(tokenizer: Any) -> TokenizerRecord:
    for option, wanted in (("split", True), ("special_tokens_in_strings", False), ("sequence_length", None)):
        found = getattr(tokenizer, option)
        if found != wanted:
            raise InputError(f"BertTokenizer with {option}={found!r}: expected {wanted!r}, the only supported value")
    return TokenizerRecord(
        family="wordpiece",
        vocabulary=tuple(tokenizer.vocabulary),
        lowercase=bool(tokenizer.lowercase),
        strip_accents=bool(tokenizer.strip_accents),
        split_on_cjk=bool(tokenizer.split_on_cjk),
        suffix_indicator=str(tokenizer.suffix_indicator),
        unknown=str(tokenizer.oov_token),
    )


def _read_bytepair(tokenizer: Any) -> TokenizerRecord:
    if tokenizer.sequence_length is not None:
        raise InputError(f"RobertaTokenizer with sequence_length={tokenizer.sequence_length}: expected None")
    by_id = sorted(tokenizer.vocabulary.items(), key=lambda item: item[1])
    if [i for _, i in by_id] != list(range(len(by_id))):
        raise InputError(f"RobertaTokenizer: {len(by_id)} tokens whose ids are not 0 to {len(by_id) - 1}")
    return TokenizerRecord(
        family="bytepair",
        vocabulary=tuple(token for token, _ in by_id),
        merges=tuple(tokenizer.merges),
        unsplittable=tuple(tokenizer.unsplittable_tokens),
        add_prefix_space=bool(tokenizer.add_prefix_space),
    )


def _build_tokenizer(record: TokenizerRecord) -> Tokenizer:
    if record.family == "wordpiece":
        return WordPiece(record)
    if record.family == "bytepair":
        return BytePair(record)
    raise BundleError(f"tokenizer.json: family {record.family!r}, expected wordpiece or bytepair")
