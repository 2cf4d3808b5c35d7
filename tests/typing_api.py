"""The types of the public API, for mypy, which reads this file; nothing runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_type

import numpy as np
from numpy.typing import NDArray
from pairlift import Bundle, JobOptions, Result, Scorer, errors, find_inputs, score_file
from pairlift.outputs.outcome import Outcome


def use_scorer(path: str) -> None:
    """Score pairs in each way."""
    with Scorer.open(path, variant="int8", threads=2) as scorer:
        assert_type(scorer, Scorer)
        assert_type(scorer.labels, tuple[str, ...])
        assert_type(scorer.threads, int)
        assert_type(scorer.bundle, Bundle)
        assert_type(scorer.score([("a", "b")]), NDArray[np.float32])
        assert_type(scorer.logits([["a", "b"]]), NDArray[np.float32])
        assert_type(scorer.predict([{"premise": "a", "hypothesis": "b"}]), list[str])
        assert_type(scorer.token_ids([("a", "b")]), list[tuple[int, ...]])
        for found in assert_type(scorer.results([("a", "b")]), list[Result | errors.RowError]):
            if isinstance(found, Result):
                assert_type(found.prediction, str)
                assert_type(found.probabilities, Mapping[str, float])
            else:
                assert_type(found.reason, str)
                assert_type(found.detail, str)


def use_files(bundle: Bundle) -> None:
    """Score a file."""
    assert_type(Bundle.open("bundle"), Bundle)
    assert_type(bundle.digest, str)
    assert_type(bundle.verify_files(), int)
    names = assert_type(find_inputs("in/"), list[str])
    options = JobOptions(fields="a,b", quoting="none", raw=False, most_rejects=None, chunk_rows=4096)
    try:
        outcome = score_file(Scorer(bundle), names, "out.csv", options, restart=True, force=True)
    except errors.PairliftError as error:
        assert_type(error.exit_code, int)
    else:
        assert_type(outcome, Outcome)
        assert_type(outcome.totals.rejected, Mapping[str, int])
