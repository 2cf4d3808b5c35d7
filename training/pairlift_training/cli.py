"""The training stage's commands: `train` and `evaluate`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from pairlift.commands import options
from pairlift_training.choices import CHECKPOINT_STEPS, KEPT, OPTIMIZERS, PRECISIONS, SCHEDULES, VALIDATION_SHARE

DEFAULT_FIELDS = ("hypothesis", "premise")


class RecipeOption(click.Option):
    """An option whose help lists the shipped recipes; they are looked up only when the help is shown."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option and its help."""
        from pairlift_training.recipe import recipe_names

        self.help = (
            f"How the model is made and fitted: one of {', '.join(recipe_names())}, or a TOML file.  "
            "[default: sample for sample:nli, else bert_scratch]"
        )
        return super().get_help_record(ctx)


def recipe_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for each field of a recipe that may be overridden."""
    for option in reversed(
        (
            click.option("--preset", help="A KerasHub preset's name, or a local preset directory."),
            click.option("--epochs", type=int, help="The number of passes over the training pairs."),
            click.option("--batch-size", type=int, help="The number of pairs of an update."),
            click.option("--sequence-length", type=int, help="The most tokens of a pair."),
            click.option("--optimizer", type=click.Choice(OPTIMIZERS), help="The rule by which weights are updated."),
            click.option("--learning-rate", type=float, help="The highest learning rate."),
            click.option("--schedule", type=click.Choice(SCHEDULES), help="How the learning rate changes."),
            click.option("--warmup", type=float, help="The share of all updates in which the learning rate goes up."),
            click.option("--weight-decay", type=float, help="The weight decay of adamw; 0 with adam."),
            click.option("--clip-norm", type=float, help="The largest norm of the gradients; 0 does not clip."),
            click.option("--accumulate", type=int, help="The parts a batch is computed in, for a small card."),
            click.option("--precision", type=click.Choice(PRECISIONS), help="The floats to compute with."),
            click.option("--keep", type=click.Choice(KEPT), help="The epoch whose weights are kept."),
            click.option("--patience", type=int, help="Epochs without a better one until it stops; 0 for never."),
            click.option("--seed", type=int, help="The seed of initial weights, shuffling and dropout."),
        )
    ):
        command = option(command)
    return command


@click.command(epilog="The options that are fields of the recipe (--preset to --seed) override what the recipe says.")
@click.argument("data", nargs=-1, required=True, metavar="DATA...")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--recipe", cls=RecipeOption, metavar="RECIPE")
@click.option(
    "--validation", metavar="DATA", multiple=True, help="Labelled pairs to validate on; may be given several times."
)
@click.option(
    "--test", metavar="DATA", multiple=True, help="Labelled pairs for the final figure; may be given several times."
)
@click.option(
    "--validation-share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=VALIDATION_SHARE,
    show_default=True,
    help="The share of DATA, by a hash of the premise, to validate on without --validation.",
)
@click.option("--vocabulary", type=click.Path(path_type=Path), help="A vocabulary file, for a model from scratch.")
@click.option("--merges", type=click.Path(path_type=Path), help="A file of merge rules, for a RoBERTa from scratch.")
@click.option("--labels", metavar="NAMES", help="The labels in the order of the head's outputs.")
@options.fields
@options.label
@recipe_options
@options.backend
@click.option(
    "--checkpoint-steps",
    type=click.IntRange(min=1),
    default=CHECKPOINT_STEPS,
    show_default=True,
    help="The number of updates between two checkpoints.",
)
@options.restart
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where tokens are kept for the next training.  [default: ~/.cache/pairlift]",
)
@click.option("--no-cache", is_flag=True, help="Keep no tokens for the next training.")
@options.force("RUN, if it is a run")
@options.quiet("progress")
def train(
    data: tuple[str, ...],
    run: Path,
    recipe: str | None,
    validation: tuple[str, ...],
    test: tuple[str, ...],
    validation_share: float,
    vocabulary: Path | None,
    merges: Path | None,
    labels: str | None,
    fields: str | None,
    label: str | None,
    backend: str,
    checkpoint_steps: int,
    restart: bool,
    cache: Path | None,
    no_cache: bool,
    force: bool,
    quiet: bool,
    **overrides: Any,
) -> None:
    """Fine-tune a classifier on DATA and write the run directory RUN.

    DATA is one or several of: a file that the runner reads, tfds:snli, tfds:snli[train[:20%]], sample:nli.
    A training that was stopped or killed continues when the same command is run again.

    Example: pairlift train sample:nli out/run
    """
    from pairlift.errors import UsageError
    from pairlift.formats.fields import parse_list
    from pairlift.inputs.labelled import describe_left_out
    from pairlift.storage.staging import check_destination
    from pairlift_training.cache import find_cache
    from pairlift_training.data import read_parts
    from pairlift_training.recipe import load_recipe
    from pairlift_training.run import RUN

    check_destination(run, RUN, force)
    sample = data == ("sample:nli",)
    given = {name: value for name, value in overrides.items() if value is not None}
    chosen = load_recipe(recipe or ("sample" if sample else "bert_scratch"), given)
    if sample and not validation:
        validation, test = ("sample:nli[validation]",), test or ("sample:nli[test]",)
    kept = None if no_cache else find_cache(cache)
    wanted = parse_list(labels, "--labels") if labels else None
    if wanted is not None and len(wanted) < 2:
        raise UsageError(f"--labels {labels}: expected two or more")
    parts = read_parts(data, validation, test, validation_share, wanted, DEFAULT_FIELDS, fields, label, kept)
    _choose_backend(backend)
    from pairlift_training.fit import Job
    from pairlift_training.fit import train as fit

    job = Job(
        recipe=chosen, labels=parts.labels, fields=DEFAULT_FIELDS, train=parts.train, validation=parts.validation, test=parts.test,
        vocabulary=vocabulary, merges=merges, cache=kept, checkpoint_steps=checkpoint_steps, restart=restart, force=force,
        quiet=quiet,
    )  # fmt: skip
    done = fit(job, run)
    click.echo(f"{run}: {done.architecture}, {done.parameters:,} parameters, {done.data['train'].rows} training pairs")
    for part, use in done.data.items():
        if use.filtered:
            click.echo(f"{part}: {describe_left_out(use.filtered)}")
    if done.kept_epoch != chosen.epochs:
        click.echo(f"kept epoch {done.kept_epoch} of {done.epochs}")
    for part, metrics in done.metrics.items():
        click.echo(f"{part}: accuracy {metrics.accuracy:.4f}, log loss {metrics.log_loss:.4f}, {metrics.rows} pairs")
    if chosen.expected_accuracy is not None:
        click.echo(f"the recipe expects a test accuracy of {chosen.expected_accuracy:.1%}: {chosen.source}")


@click.command()
@click.argument("model", metavar="RUN|BUNDLE")
@click.argument("data")
@options.fields
@options.label
@options.variant
@options.backend
@click.option("--ablate", is_flag=True, help="Measure also with one text alone, and with the two exchanged.")
@click.option(
    "--calibrate", is_flag=True, help="Fit a temperature on DATA and store it in RUN; export carries it along."
)
@click.option("--json", "as_json", is_flag=True, help="Print the measurements as JSON.")
def evaluate(
    model: str,
    data: str,
    fields: str | None,
    label: str | None,
    variant: str,
    backend: str,
    ablate: bool,
    calibrate: bool,
    as_json: bool,
) -> None:
    """Measure a run or a bundle on labelled DATA.

    What an NLI model knows without the premise (--ablate: only hypothesis) is knowledge of the data set, not of language.

    Example: pairlift evaluate out/bundle sample:nli[test]
    """
    from pairlift import record
    from pairlift.model.metrics import format_metrics
    from pairlift_training.evaluate import evaluate as measure

    _choose_backend(backend)
    metrics = measure(model, data, fields, label, variant, ablate, calibrate)
    click.echo(record.dump(metrics).decode() if as_json else format_metrics(metrics) + "\n", nl=False)


def _choose_backend(backend: str) -> None:
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if backend != "tensorflow" and "tensorflow" not in sys.modules:
        # KerasHub imports TensorFlow if it is installed. That costs seconds and memory, and nothing here needs it.
        sys.modules["tensorflow"] = sys.modules["tensorflow_text"] = None  # type: ignore[assignment]
