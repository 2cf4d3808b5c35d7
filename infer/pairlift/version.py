"""The version of the distribution, read by the build, and those of others, written into every record."""

from __future__ import annotations

from collections.abc import Sequence

__version__ = "0.1.0"


def read_versions(packages: Sequence[str]) -> dict[str, str]:
    """Return pairlift's version and those of the packages that are installed."""
    import importlib.metadata  # a sixth of the runner's start

    versions = {"pairlift": __version__}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
