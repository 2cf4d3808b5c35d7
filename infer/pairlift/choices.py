"""The words that options, settings and requests may have, light enough for the command line's help."""

from __future__ import annotations

FP32 = "fp32"
INT8 = "int8"
VARIANTS = (FP32, INT8)

MINIMAL = "minimal"
QUOTINGS = (MINIMAL, "none")
