"""The words that a recipe's fields may have, light enough for the command line's help."""

from __future__ import annotations

FAMILIES = ("bert", "roberta")
OPTIMIZERS = ("adam", "adamw")
SCHEDULES = ("constant", "triangular")
PRECISIONS = ("auto", "float32", "mixed_bfloat16")
KEPT = ("last", "best")
