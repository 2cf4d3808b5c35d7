"""The build: makes the zip, the container's context and the template from one tree."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from pairlift.deploy.archive import Sizes, write_zip
from pairlift.deploy.package import IMAGE_MARKER, Package, write_context, write_template
from pairlift.deploy.tree import made_tree
from pairlift.errors import UsageError
from pairlift.storage.staging import check_destination, check_new_file, staged_directory, staged_file


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What a build writes; `archive` or `image` must be given.

    Attributes:
        archive: The zip.
        image: The folder for a container's context.
        template: The SAM template, for the zip if there is one, otherwise for the image.
        force: Whether to replace the output of an earlier build.
    """

    archive: Path | None
    image: Path | None
    template: Path | None
    force: bool

    def check(self) -> None:
        """Check, before any work is done, that every output can be written.

        Raises:
            DestinationError: An output exists.
            UsageError: No output was given, or one cannot be created at its place.
        """
        if not self.archive and not self.image:
            raise UsageError("nothing to build: name OUT.zip, or --image DIR for a container")
        for file in (self.archive, self.template):
            if file:
                check_new_file(file, self.force)
        if self.image:
            check_destination(self.image, IMAGE_MARKER, self.force)


def build_function(package: Package, outputs: Outputs) -> Sizes | None:
    """Build a function and return the sizes of the zip, if there is one.

    Raises:
        UsageError: The zip exceeds one of Lambda's limits, or as `made_tree`.
        BundleError, StorageError, DestinationError: As `made_tree` and `Outputs.check`.
    """
    sizes = None
    outputs.check()
    with made_tree(package.target, package.bundle, package.variant) as tree:
        if outputs.archive:
            with staged_file(outputs.archive, outputs.force) as stage:
                sizes = write_zip(tree, stage, str(outputs.archive), package.advice)
        if outputs.image:
            with staged_directory(outputs.image, IMAGE_MARKER, outputs.force) as folder:
                write_context(package, tree, folder)
    code = outputs.archive or outputs.image
    if outputs.template and code:
        with staged_file(outputs.template, outputs.force) as stage:
            seen = os.path.relpath(code.resolve(), outputs.template.parent.resolve())
            write_template(package, seen, code == outputs.image, stage)
    return sizes
