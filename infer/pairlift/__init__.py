"""Score files of sentence pairs with onnxruntime alone.

from pairlift import Scorer

scorer = Scorer.open("out/bundle")
scorer.score([("a man sleeps", "the man is awake")])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pairlift.version import __version__

if TYPE_CHECKING:
    from pairlift.bundle import Bundle
    from pairlift.scorer import Scorer

__all__ = ["Bundle", "Scorer", "__version__"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for, so that a command is ready for signals before numpy is loaded."""
    if name == "Bundle":
        from pairlift.bundle import Bundle

        return Bundle
    if name == "Scorer":
        from pairlift.scorer import Scorer

        return Scorer
    raise AttributeError(f"module 'pairlift' has no attribute {name!r}")
