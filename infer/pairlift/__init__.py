"""Score files of sentence pairs with onnxruntime alone.

from pairlift import Scorer

with Scorer.open("out/bundle") as scorer:
    scorer.score([("a man sleeps", "the man is awake")])

The names in `__all__` are the public API (docs/api.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pairlift.version import __version__

if TYPE_CHECKING:
    from pairlift import errors
    from pairlift.inputs.names import find_inputs
    from pairlift.inputs.options import JobOptions
    from pairlift.jobs.job import score_file
    from pairlift.model.bundle import Bundle
    from pairlift.model.results import Result
    from pairlift.model.scorer import Scorer

__all__ = ["Bundle", "JobOptions", "Result", "Scorer", "__version__", "errors", "find_inputs", "score_file"]

_MODULES = {
    "Bundle": "model.bundle", "JobOptions": "inputs.options", "Result": "model.results", "Scorer": "model.scorer",
    "find_inputs": "inputs.names", "score_file": "jobs.job",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name on its first use, so that a command can handle signals before numpy is loaded."""
    from importlib import import_module

    if name in _MODULES:
        return getattr(import_module(f"pairlift.{_MODULES[name]}"), name)
    if name == "errors":
        return import_module("pairlift.errors")
    raise AttributeError(f"module 'pairlift' has no attribute {name!r}")
