"""The model card of a run."""

from __future__ import annotations

import dataclasses

from pairlift.model.metrics import Metrics
from pairlift_training.run import CONFUSION, CURVE, RATE, Run

HIDDEN = ("format", "name", "expected_accuracy", "source")
SCRATCH = ("layers", "width", "heads", "dropout", "lowercase")


def format_card(run: Run) -> str:
    """Return the card as Markdown."""
    recipe = run.recipe
    origin = f"fine-tuned from the preset `{recipe.preset}`" if recipe.preset else "trained from random weights"
    first, second = run.fields
    parts = [
        f"# {run.architecture}, recipe {recipe.name}",
        f"A {run.architecture} of {run.parameters:,} parameters, {origin}. It reads a pair of texts, {first} first and "
        f"{second} second, up to {run.sequence_length} tokens together, and says which of these it is: "
        f"{', '.join(f'`{label}`' for label in run.labels)} (outputs in this order, logits).",
        "## Figures",
        _tabulate(
            ("data", "pairs", "accuracy", "log loss", "calibration error"),
            [
                (part, f"{m.rows:,}", f"{m.accuracy:.4f}", f"{m.log_loss:.4f}", f"{m.calibration_error:.4f}")
                for part, m in run.metrics.items()
            ],
        ),
        *_expect(run),
        *_calibration(run),
        *(_confusion(part, metrics) for part, metrics in run.metrics.items()),
        f"![loss and accuracy over the updates]({CURVE})",
        f"![learning rate]({RATE})",
        f"![confusion matrix]({CONFUSION})",
        "## Data",
        _describe_data(run),
        "## Training",
        f"{run.epochs} of {recipe.epochs} epochs in {run.seconds:.0f} s, epoch {run.kept_epoch} kept; Keras on "
        f"{run.backend}, {run.precision}, {run.devices} device{'s' * (run.devices > 1)}, saved as float32.",
        _tabulate(("recipe", "value"), [(f"`{name}`", f"`{value}`") for name, value in _settings(run)]),
        _tabulate(("package", "version"), list(run.versions.items())),
        "## Use",
        '`keras.models.load_model("model.keras")` gives a float32 classifier of raw text, compiled with KerasHub\'s '
        "defaults, that can be trained further. `pairlift export` turns this directory into a bundle, which is scored "
        "without Keras.",
        "## Limits",
        "The figures apply to pairs like those above. The model was not tested on other kinds of text, other languages "
        "or other labels. Data sets of this kind are known to contain patterns that reveal the label from one text "
        "alone, so a high accuracy does not show that both texts were understood.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _describe_data(run: Run) -> str:
    return _tabulate(
        ("part", "source", "pairs", "left out", "sha256"),
        [
            (
                part,
                f"`{use.source}`",
                f"{use.rows:,}",
                ", ".join(f"{count} {reason}" for reason, count in use.filtered.items()) or "none",
                f"`{use.sha256[:16]}…`",
            )
            for part, use in run.data.items()
        ],
    )


def _expect(run: Run) -> list[str]:
    if run.recipe.expected_accuracy is None:
        return []
    return [
        f"The recipe expects a test accuracy of {run.recipe.expected_accuracy:.1%} ({run.recipe.source}); that applies "
        "to that data and to the recipe as shipped."
    ]


def _settings(run: Run) -> list[tuple[str, object]]:
    hidden = (*HIDDEN, *SCRATCH) if run.recipe.preset else (*HIDDEN, "preset")
    values = dataclasses.asdict(run.recipe)
    return [(name, value) for name, value in values.items() if name not in hidden]


def _confusion(part: str, metrics: Metrics) -> str:
    labels = [c.label for c in metrics.classes]
    rows = [
        (c.label, *(f"{n:,}" for n in counts), f"{c.precision:.4f}", f"{c.recall:.4f}", f"{c.f1:.4f}")
        for c, counts in zip(metrics.classes, metrics.confusion, strict=True)
    ]
    return _tabulate((f"{part}: true, predicted", *labels, "precision", "recall", "F1"), rows)


def _tabulate(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _calibration(run: Run) -> list[str]:
    if run.calibrated_on is None:
        return []
    return [
        f"Calibrated: logits are divided by {run.temperature:.4g} before the softmax, fitted on {run.calibrated_on.rows:,} pairs of "
        f"`{run.calibrated_on.source}`. The figures above are not calibrated."
    ]
