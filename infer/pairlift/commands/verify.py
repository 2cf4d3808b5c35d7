"""The command `verify`."""

from __future__ import annotations

import click


@click.command()
@click.argument("bundle")
@click.option("--all", "everything", is_flag=True, help="Hash every file of BUNDLE first, the SavedModel too.")
def verify(bundle: str, everything: bool) -> None:
    """Replay the golden pairs of BUNDLE here, without Keras.

    Example: pairlift verify out/bundle
    """
    from pairlift.model.bundle import Bundle
    from pairlift.model.golden import replay
    from pairlift.model.scorer import Scorer

    opened = Bundle.open(bundle)
    if everything:
        click.echo(f"{opened.verify_files()} files are as they were exported")
    for name in sorted(opened.manifest.variants):
        if not opened.has(name):
            click.echo(f"{name}: not in this copy of the bundle")
            continue
        scorer = Scorer(opened, name)
        result = replay(scorer)
        scorer.close()
        click.echo(
            f"{name}: {result.pairs} golden pairs agree, largest difference {result.max_difference:.1e} (at most {result.tolerance:.1e})"
        )
