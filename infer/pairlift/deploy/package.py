"""The package: a function's target, bundle and variant, and the files that deploy it."""

from __future__ import annotations

import dataclasses
import re
import shutil
import string
from pathlib import Path

from pairlift.deploy.target import Target
from pairlift.deploy.tree import BUNDLE, open_variant
from pairlift.errors import UsageError
from pairlift.model.bundle import Bundle

HERE = Path(__file__).parent
TASK_FOLDER = "task"
IMAGE_MARKER = f"{TASK_FOLDER}/pairlift/version.py"  # shows that pairlift wrote a folder as an image's context
DOCKER_PLATFORMS = {"x86_64": "amd64", "arm64": "arm64"}
BUCKET_PREFIX = re.compile(r"s3://([a-z0-9][a-z0-9.-]+)/((?:[^\s\"'\\$]+/)?)")

FROM_ZIP = """\
    Properties:
      CodeUri: "@{CODE}"
      Handler: pairlift.aws.handler
      Runtime: python@{PYTHON}"""
FROM_IMAGE = """\
    Metadata:
      Dockerfile: Dockerfile
      DockerContext: "@{CODE}"
      DockerTag: latest
    Properties:
      PackageType: Image"""


class Blank(string.Template):
    """A template with placeholders `@{NAME}`, because CloudFormation uses `$`."""

    delimiter = "@"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A function's package.

    Attributes:
        target: The processor and Python that the function runs on.
        variant: The variant that it scores with.
        bundle: The bundle inside the package; None if the function fetches it at start.
        bundle_bucket, bundle_prefix: Where the function fetches the bundle from; both empty if it is inside.
    """

    target: Target
    variant: str
    bundle: Bundle | None
    bundle_bucket: str = ""
    bundle_prefix: str = ""

    @property
    def bundle_location(self) -> str:
        """The value of PAIRLIFT_BUNDLE."""
        return BUNDLE if self.bundle else f"s3://{self.bundle_bucket}/{self.bundle_prefix}"

    @property
    def advice(self) -> str:
        """What the user can do if the package is too large for a zip."""
        others = []
        if self.bundle and self.variant != "int8" and self.bundle.has("int8"):
            others.append("--variant int8")
        if self.bundle:
            others.append("give BUNDLE as s3://bucket/prefix/ to have it fetched at start")
        return ", or ".join(["build a container image: --image DIR without OUT.zip", *others])

    def fill(self, text: str, **more: str) -> str:
        """Fill a template with the values of this package, and with more values by name.

        Raises:
            KeyError: The template has a placeholder without a value.
        """
        values = {
            "ARCHITECTURE": self.target.architecture,
            "BUNDLE": self.bundle_location,
            "BUNDLE_BUCKET": self.bundle_bucket,
            "BUNDLE_PREFIX": self.bundle_prefix,
            "PLATFORM": DOCKER_PLATFORMS[self.target.architecture],
            "PYTHON": self.target.python,
            "VARIANT": self.variant,
            **more,
        }
        return Blank(text).substitute(values)


def make_package(bundle: str, variant: str, target: Target) -> Package:
    """Return the package of a bundle directory, or of an S3 prefix.

    Raises:
        UsageError: An S3 URL is not of the form `s3://bucket/prefix/`, or the bundle has no such variant.
        BundleError, InputError: As `Bundle.open`.
    """
    if not bundle.startswith("s3://"):
        return Package(target=target, variant=variant, bundle=open_variant(bundle, variant))
    found = BUCKET_PREFIX.fullmatch(bundle)
    if found is None:
        raise UsageError(
            f"{bundle}: expected s3://bucket/prefix/, the prefix of the bundle's files with a slash at its end"
        )
    return Package(target=target, variant=variant, bundle=None, bundle_bucket=found[1], bundle_prefix=found[2])


def write_context(package: Package, tree: Path, folder: Path) -> None:
    """Write a container's context around a tree: Dockerfile, pinned requirements, `task/`."""
    shutil.copytree(tree, folder / TASK_FOLDER)
    shutil.copyfile(HERE / "requirements.txt", folder / "requirements.txt")
    (folder / "Dockerfile").write_text(package.fill((HERE / "Dockerfile").read_text()))


def write_template(package: Package, code: str, is_image: bool, file: Path) -> None:
    """Write a SAM template.

    Args:
        package: The package to deploy.
        code: The path of the zip or of the container's context, relative to the template's folder.
        is_image: Whether `code` is a container's context.
        file: The file to write.
    """
    properties = package.fill(FROM_IMAGE if is_image else FROM_ZIP, CODE=code)
    file.write_text(package.fill((HERE / "template.yaml").read_text(), PACKAGE=properties))
