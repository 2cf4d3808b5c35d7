"""The command group `lambda`, with its command `build`."""

from __future__ import annotations

from pathlib import Path

import click

from pairlift.commands import options

HANDLER = "pairlift.aws.handler"
PATH = click.Path(path_type=Path)


@click.group("lambda")
def lambda_group() -> None:
    """Package BUNDLE and the runner for AWS Lambda."""


@lambda_group.command()
@click.argument("bundle")
@click.argument("output", metavar="[OUT.zip]", type=PATH, required=False)
@options.variant
@click.option(
    "--architecture",
    type=click.Choice(["x86_64", "arm64"]),
    default="x86_64",
    show_default=True,
    help="The processor of the function; arm64 is built from its own wheels and untested.",
)
@click.option(
    "--python",
    "interpreter",
    metavar="EXE",
    help="A Python here, of the version that the function shall run on.  [default: this one]",
)
@click.option("--image", metavar="DIR", type=PATH, help="Write the context of a container image into DIR.")
@click.option(
    "--template",
    metavar="FILE",
    type=PATH,
    help="Write a SAM template to FILE, for the zip, or for the image when there is no zip.",
)
@options.force("what an earlier build wrote")
def build(
    bundle: str,
    output: Path | None,
    variant: str,
    architecture: str,
    interpreter: str | None,
    image: Path | None,
    template: Path | None,
    force: bool,
) -> None:
    """Write OUT.zip, ready to upload: the runner and BUNDLE.

    The runner's dependencies go along. BUNDLE is a directory, or s3://bucket/prefix/ to have it fetched and verified at start.

    Example: pairlift lambda build out/bundle out/score.zip --template out/template.yaml
    """
    from pairlift.deploy.build import Outputs, build_function
    from pairlift.deploy.package import make_package
    from pairlift.deploy.target import find_target
    from pairlift.digest import sha256_file

    outputs = Outputs(archive=output, image=image, template=template, force=force)
    outputs.check()
    target = find_target(architecture, interpreter, in_lambda=output is not None)
    package = make_package(bundle, variant, target)
    sizes = build_function(package, outputs)
    if output:
        click.echo(f"{output}: {sizes}, sha256 {sha256_file(output)}")
    if image:
        click.echo(f"{image}: the context of an image; its Dockerfile begins with the command that builds it")
    if template:
        click.echo(f"{template}: a SAM template")
    untested = " (untested)" if architecture == "arm64" else ""
    click.echo(
        f"function: Python {target.python}, {architecture}{untested}, handler {HANDLER}, "
        f"PAIRLIFT_BUNDLE={package.bundle_location} PAIRLIFT_VARIANT={variant}"
    )
