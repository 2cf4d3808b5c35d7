"""The allowed values of a recipe's fields, and defaults; light enough to import for the command line's help."""

from __future__ import annotations

FAMILIES = ("bert", "roberta")
OPTIMIZERS = ("adam", "adamw")
SCHEDULES = ("constant", "triangular")
PRECISIONS = ("auto", "float32", "mixed_bfloat16")
KEPT = ("last", "best")

CHECKPOINT_STEPS = 1000  # half a minute of BERT tiny on two cores, five minutes of RoBERTa base on the tutorial's card
VALIDATION_SHARE = 0.05
