"""The SAM template is one that CloudFormation takes, and its parts fit together."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL_BUNDLE
from pairlift.deploy.package import make_package, write_template
from pairlift.deploy.target import Target

TARGET = Target(architecture="arm64", python="3.13", interpreter=sys.executable)


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The template of a zip with its bundle, of a zip that fetches it, and of an image."""
    folder = tmp_path_factory.mktemp("templates")
    inside = make_package(str(SMALL_BUNDLE), "fp32", TARGET)
    fetched = make_package("s3://models/nli/v1/", "int8", TARGET)
    files = [folder / name for name in ("inside.yaml", "fetched.yaml", "image.yaml")]
    write_template(inside, "score.zip", False, files[0])
    write_template(fetched, "../score.zip", False, files[1])
    write_template(inside, "image", True, files[2])
    return files


def read(file: Path) -> dict[str, Any]:
    """Return a template as dicts, its short forms spelt out."""
    decode = pytest.importorskip("cfnlint.decode.cfn_yaml")
    found: dict[str, Any] = decode.load(str(file))
    return found


def test_cfn_lint_finds_nothing(templates: list[Path]) -> None:
    lint = shutil.which("cfn-lint", path=str(Path(sys.executable).parent))
    if lint is None:
        pytest.skip("no cfn-lint here")
    command = [lint, "--include-checks", "I", "--", *map(str, templates)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_it_is_filled_in(templates: list[Path]) -> None:
    inside, fetched, image = (read(file) for file in templates)
    score = inside["Resources"]["Score"]["Properties"]
    assert (score["CodeUri"], score["Handler"], score["Runtime"]) == ("score.zip", "pairlift.aws.handler", "python3.13")
    assert score["Architectures"] == ["arm64"]
    assert score["Environment"]["Variables"]["PAIRLIFT_VARIANT"] == "fp32"
    assert inside["Parameters"]["BundleBucket"]["Default"] == ""
    assert fetched["Parameters"]["BundleBucket"]["Default"] == "models"
    assert fetched["Parameters"]["BundlePrefix"]["Default"] == "nli/v1/"
    assert fetched["Resources"]["Score"]["Properties"]["Environment"]["Variables"]["PAIRLIFT_VARIANT"] == "int8"
    made = image["Resources"]["Score"]
    assert made["Metadata"]["DockerContext"] == "image"
    assert made["Properties"]["PackageType"] == "Image"
    assert not {"CodeUri", "Handler", "Runtime"} & set(made["Properties"])
    assert all("@" not in file.read_text() for file in templates)


def test_a_name_that_nothing_gives_is_refused() -> None:
    package = make_package(str(SMALL_BUNDLE), "fp32", TARGET)
    with pytest.raises(KeyError, match="NO_SUCH_NAME"):
        package.fill("x: @{NO_SUCH_NAME}")


def test_a_path_is_written_as_it_is(tmp_path: Path) -> None:
    package = make_package(str(SMALL_BUNDLE), "fp32", TARGET)
    write_template(package, "a@{PYTHON}/$x/score.zip", False, tmp_path / "template.yaml")
    assert read(tmp_path / "template.yaml")["Resources"]["Score"]["Properties"]["CodeUri"] == "a@{PYTHON}/$x/score.zip"


def test_its_timeouts_fit_together(templates: list[Path]) -> None:
    resources = read(templates[0])["Resources"]
    timeout = resources["Score"]["Properties"]["Timeout"]
    queue, letters = resources["Queue"]["Properties"], resources["DeadLetters"]["Properties"]
    tries = queue["RedrivePolicy"]["maxReceiveCount"]
    assert queue["VisibilityTimeout"] >= 6 * timeout  # what Lambda asks of a queue that it polls
    assert queue["MessageRetentionPeriod"] > 2 * tries * queue["VisibilityTimeout"]
    assert letters["MessageRetentionPeriod"] > queue["MessageRetentionPeriod"]  # it counts from the first queue on
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": ["DeadLetters", "Arn"]}


def test_the_queue_never_has_more_at_work_than_is_reserved(templates: list[Path]) -> None:
    template = read(templates[0])
    parameters, score = template["Parameters"], template["Resources"]["Score"]["Properties"]
    source = score["Events"]["Arrivals"]["Properties"]
    assert source["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "MaximumConcurrency"}}
    assert score["ReservedConcurrentExecutions"] == {"Ref": "ReservedConcurrency"}
    assert parameters["MaximumConcurrency"]["Default"] <= parameters["ReservedConcurrency"]["Default"]
    assert parameters["MaximumConcurrency"]["MinValue"] == 2  # the least that Lambda takes
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_no_permission_is_wider_than_what_it_is_for(templates: list[Path]) -> None:
    resources = read(templates[1])["Resources"]
    role = resources["Role"]["Properties"]
    assert "ManagedPolicyArns" not in role
    assert resources["Score"]["Properties"]["Role"] == {"Fn::GetAtt": ["Role", "Arn"]}
    (policy,) = role["Policies"]
    statements = {s["Sid"]: s for s in map(spell, policy["PolicyDocument"]["Statement"])}
    for statement in statements.values():
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert all("*" not in action for action in actions)
        assert statement["Resource"] != "*"
        if statement["Action"] == "s3:ListBucket":
            assert "s3:prefix" in statement["Condition"]["StringLike"]
    arn = "arn:${AWS::Partition}:s3:::"
    assert statements["ReadInputs"]["Action"] == "s3:GetObject"
    assert statements["ReadInputs"]["Resource"] == {"Fn::Sub": arn + "${InputBucket}/${InputPrefix}*"}
    assert statements["WriteResults"]["Resource"] == {"Fn::Sub": arn + "${OutputBucket}/${OutputPrefix}*"}
    assert statements["FetchTheBundle"]["Resource"] == {"Fn::Sub": arn + "${BundleBucket}/${BundlePrefix}*"}
    assert statements["TakeMessagesAndGoOn"]["Resource"] == {"Fn::GetAtt": ["Queue", "Arn"]}


def spell(statement: dict[str, Any]) -> dict[str, Any]:
    """Return a statement, out of the condition around it."""
    chosen: dict[str, Any] = statement["Fn::If"][1] if "Fn::If" in statement else statement
    return chosen


def test_only_the_rule_may_send_to_the_queues_and_only_iam_may_call_the_url(templates: list[Path]) -> None:
    resources = read(templates[0])["Resources"]
    (statement,) = resources["QueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["Arrivals", "Arn"]}}}
    assert resources["Url"]["Properties"]["AuthType"] == "AWS_IAM"
    assert resources["Url"]["Condition"] == "HasUrl"
    assert all(resources[name]["Properties"]["SqsManagedSseEnabled"] for name in ("Queue", "DeadLetters"))


def test_results_do_not_stand_among_the_inputs(templates: list[Path]) -> None:
    rule = read(templates[0])["Rules"]["InOneBucket"]
    assert rule["RuleCondition"] == {"Fn::Equals": [{"Ref": "InputBucket"}, {"Ref": "OutputBucket"}]}
    refused = [assertion["Assert"]["Fn::Not"][0]["Fn::Equals"] for assertion in rule["Assertions"]]
    assert refused == [[{"Ref": "OutputPrefix"}, {"Ref": "InputPrefix"}], [{"Ref": "OutputPrefix"}, ""]]
