"""Score pairs in Python: one result, or one reason, for each pair.

python examples/score_in_python.py out/bundle
"""

import sys

from pairlift import Result, Scorer

PAIRS = [
    {"premise": "two dogs run in a park", "hypothesis": "there are dogs outside"},
    ("there are dogs outside", "two dogs run in a park"),  # a tuple is in the bundle's own field order
    {"premise": "a man sleeps", "hypothesis": None},  # cannot be scored, and costs the others nothing
]

with Scorer.open(sys.argv[1]) as scorer:
    print("labels:", ", ".join(scorer.labels))
    for result in scorer.results(PAIRS):
        if isinstance(result, Result):
            print(result.prediction, dict(result.probabilities))
        else:
            print("not scored:", result)
