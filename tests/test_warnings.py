"""Which warnings fail a test, as pyproject.toml has it."""

from __future__ import annotations

import warnings

import pytest


def warn(module: str, message: str, category: type[Warning]) -> None:
    """Warn as a module does."""
    warnings.warn_explicit(message, category, "anywhere.py", 1, module=module)


@pytest.mark.parametrize("module", ["pairlift.jobs.job", "pairlift_export.page", "pairlift_training.fit", "test_job"])
@pytest.mark.parametrize("category", [DeprecationWarning, RuntimeWarning, UserWarning])
def test_a_warning_of_our_own_code_is_an_error(module: str, category: type[Warning]) -> None:
    with pytest.raises(category):
        warn(module, "anything", category)
