"""The command `inspect`."""

from __future__ import annotations

import click

SHOWN_VERSIONS = ("pairlift", "keras", "keras-hub", "onnxruntime", "tokenizers")


@click.command()
@click.argument("bundle")
@click.option("--json", "as_json", is_flag=True, help="Print the whole manifest as JSON.")
def inspect(bundle: str, as_json: bool) -> None:
    """Say what BUNDLE is, in ten lines.

    Example: pairlift inspect out/bundle
    """
    from pairlift import record
    from pairlift.model.bundle import Bundle

    opened = Bundle.open(bundle)
    manifest = opened.manifest
    if as_json:
        click.echo(record.dump(manifest), nl=False)
        return
    packing = manifest.packing
    click.echo(f"bundle    {opened.path} (digest {opened.digest[:12]})")
    click.echo(f"model     {manifest.architecture}, from {manifest.source.name} ({manifest.source.dtype_policy})")
    click.echo(f"labels    {', '.join(manifest.labels)}")
    click.echo(f"fields    {', '.join(manifest.fields)} (first segment, second segment)")
    click.echo(f"length    {packing.sequence_length} tokens, truncation {packing.truncation}")
    click.echo(
        f"inputs    {', '.join(f'{i.name} {i.dtype}' for i in manifest.inputs)}; output {manifest.output}, {manifest.activation}"
        + (f" of logits by {manifest.temperature:.4g}" if manifest.temperature != 1 else "")
    )
    for name, variant in sorted(manifest.variants.items()):
        size = sum(f.size for f in manifest.groups[name])
        here = "" if opened.has(name) else ", not in this copy"
        click.echo(
            f"{name:<9} {variant.file}, {size / 1e6:.1f} MB, within {variant.max_probability_difference:.1e} of Keras "
            f"over {variant.pairs} pairs{here}"
        )
    groups = ", ".join(f"{name} {len(files)}" for name, files in sorted(manifest.groups.items()))
    click.echo(f"files     {groups}")
    click.echo(
        f"versions  {', '.join(f'{k} {v}' for k, v in sorted(manifest.versions.items()) if k in SHOWN_VERSIONS)}"
    )
