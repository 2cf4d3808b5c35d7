"""Score files of sentence pairs with onnxruntime alone.

from pairlift import Scorer

scorer = Scorer.open("out/bundle")
scorer.score([("a man sleeps", "the man is awake")])
"""

from pairlift.bundle import Bundle
from pairlift.scorer import Scorer
from pairlift.version import __version__

__all__ = ["Bundle", "Scorer", "__version__"]
