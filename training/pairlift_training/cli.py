"""The training stage's commands."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

DEFAULT_FIELDS = ("hypothesis", "premise")


@click.command()
@click.argument("data")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--recipe", help="A shipped recipe or a TOML file.  [default: sample for sample:nli, else bert_scratch]")
@click.option("--validation", help="Labelled pairs to validate on; without it, 5 % of DATA by a hash of the premise.")
@click.option("--test", help="Labelled pairs for the final figure.")
@click.option("--preset", help="A KerasHub preset's name, or a local preset directory.")
@click.option("--vocabulary", type=click.Path(path_type=Path), help="Vocabulary file for a model from scratch.")
@click.option("--merges", type=click.Path(path_type=Path), help="Merge rules for a RoBERTa from scratch.")
@click.option("--labels", help="Label names in the order of the head's outputs.")
@click.option("--fields", help="Columns of the two texts: hypothesis=COLUMN,premise=COLUMN.")
@click.option("--label", help="Column of the label.  [default: label, or SNLI's gold_label]")
@click.option("--epochs", type=int)
@click.option("--batch-size", type=int)
@click.option("--learning-rate", type=float)
@click.option("--sequence-length", type=int)
@click.option("--seed", type=int)
@click.option("--backend", type=click.Choice(["jax", "tensorflow", "torch"]), default="jax", show_default=True)
@click.option("--force", is_flag=True, help="Replace RUN if it is a run.")
@click.option("--quiet", is_flag=True, help="No progress.")
def train(
    data: str,
    run: Path,
    recipe: str | None,
    validation: str | None,
    test: str | None,
    preset: str | None,
    vocabulary: Path | None,
    merges: Path | None,
    labels: str | None,
    fields: str | None,
    label: str | None,
    backend: str,
    force: bool,
    quiet: bool,
    **overrides: Any,
) -> None:
    """Fine-tune a classifier on DATA and write the run directory RUN.

    DATA is a file (.csv, .tsv, .jsonl), tfds:snli, tfds:snli[train[:20%]] or sample:nli.

    Example: pairlift train sample:nli out/run
    """
    from pairlift.errors import InputError, UsageError
    from pairlift.fields import parse_list
    from pairlift.staging import check_destination, staged_directory
    from pairlift_training.data import check_labels, order_labels, read_data, split_rows
    from pairlift_training.recipe import load_recipe
    from pairlift_training.run import RUN

    check_destination(run, RUN, force)
    given = {name: value for name, value in {**overrides, "preset": preset}.items() if value is not None}
    chosen = load_recipe(recipe or ("sample" if data.startswith("sample:") else "bert_scratch"), given)
    rows = read_data(data, DEFAULT_FIELDS, fields, label)
    names = order_labels(rows, parse_list(labels, "--labels") if labels else None)
    if validation is None and data == "sample:nli":
        validation, test = "sample:nli[validation]", test or "sample:nli[test]"
    if validation is None:
        rows, held = split_rows(rows, DEFAULT_FIELDS.index("premise"))
        if not held.pairs or not rows.pairs:
            raise InputError(
                f"{data}: {len(rows.pairs) + len(held.pairs)} rows are too few to hold 5 % out; give --validation"
            )
    else:
        held = read_data(validation, DEFAULT_FIELDS, fields, label)
    last = read_data(test, DEFAULT_FIELDS, fields, label) if test else None
    for data_set in (rows, held, last):
        if data_set is not None:
            check_labels(data_set, names)
    if len(names) < 2:
        raise UsageError(f"--labels {labels}: expected two or more")
    _choose_backend(backend)
    from pairlift_training.fit import Job
    from pairlift_training.fit import train as fit

    job = Job(
        recipe=chosen, labels=names, fields=DEFAULT_FIELDS, train=rows, validation=held, test=last,
        vocabulary=vocabulary, merges=merges, quiet=quiet,
    )  # fmt: skip
    with staged_directory(run, RUN, force) as stage:
        done = fit(job, stage)
    click.echo(f"{run}: {done.architecture}, {done.parameters:,} parameters, {done.data['train'].rows} training pairs")
    for part, use in done.data.items():
        if use.filtered:
            click.echo(f"{part}: left out " + ", ".join(f"{count} {reason}" for reason, count in use.filtered.items()))
    for part, metrics in done.metrics.items():
        click.echo(f"{part}: accuracy {metrics.accuracy:.4f}, log loss {metrics.log_loss:.4f}, {metrics.rows} pairs")


@click.command()
@click.argument("model", metavar="RUN|BUNDLE", type=click.Path(path_type=Path))
@click.argument("data")
@click.option("--fields", help="Columns of the two texts: hypothesis=COLUMN,premise=COLUMN.")
@click.option("--label", help="Column of the label.  [default: label, or SNLI's gold_label]")
@click.option("--variant", type=click.Choice(["fp32", "int8"]), default="fp32", show_default=True, help="Of a bundle.")
@click.option(
    "--backend", type=click.Choice(["jax", "tensorflow", "torch"]), default="jax", show_default=True, help="For a run."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def evaluate(
    model: Path, data: str, fields: str | None, label: str | None, variant: str, backend: str, as_json: bool
) -> None:
    """Measure a run or a bundle on labelled DATA.

    Example: pairlift evaluate out/bundle sample:nli[test]
    """
    from pairlift import record
    from pairlift.metrics import format_metrics
    from pairlift_training.evaluate import evaluate as measure

    _choose_backend(backend)
    metrics = measure(model, data, fields, label, variant)
    click.echo(record.dump(metrics).decode() if as_json else format_metrics(metrics) + "\n", nl=False)


def _choose_backend(backend: str) -> None:
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if backend != "tensorflow" and "tensorflow" not in sys.modules:
        # KerasHub imports TensorFlow when it is there, which costs seconds and memory, and nothing here needs it.
        sys.modules["tensorflow"] = sys.modules["tensorflow_text"] = None  # type: ignore[assignment]


COMMANDS = (train, evaluate)
