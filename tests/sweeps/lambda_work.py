"""What a container is held to under any conditions: pairs, a job from S3 to S3, and the answers and bytes that they have here."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import boto3
from bucket import CREDENTIALS
from lambda_function import ROOT
from lambda_runtime import LambdaRuntime
from pairlift import Scorer
from pairlift.jobs.job import score_file

CORPUS = Path(os.environ.get("PAIRLIFT_DATA", ROOT.parent / "shared/data")) / "snli/validation.jsonl"
MOST_PAIRS = 256


def read_rows(most: int) -> list[dict[str, str]]:
    """Return pairs of SNLI where they are, and others where not."""
    if CORPUS.is_file():
        lines = CORPUS.read_text(encoding="utf-8").splitlines()[:most]
        return [{name: json.loads(line)[name] for name in ("premise", "hypothesis")} for line in lines]
    return [{"premise": f"the dog {i} runs {'x ' * (i % 17)}", "hypothesis": "a cat " * (i % 5)} for i in range(most)]


def find_endpoint(port: int) -> dict[str, str]:
    """Return what a container needs to find moto's server."""
    return CREDENTIALS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}


def check_work(container: LambdaRuntime, port: int, bundle: Path, rows: int) -> int:
    """Have a container score pairs and an object, hold both to what they are here, and return the rows of the object."""
    pairs = read_rows(rows)
    scorer = Scorer.open(bundle)
    fields = scorer.bundle.manifest.fields
    some = [(pair[fields[0]], pair[fields[1]]) for pair in pairs[:MOST_PAIRS]]
    answer = container.invoke({"pairs": some})
    assert not answer.failed, answer.payload
    here = scorer.score(some)
    for result, row in zip(answer.value["results"], here.tolist(), strict=True):
        assert max(abs(a - b) for a, b in zip(result["probabilities"].values(), row, strict=True)) < 1e-6
    data = "".join(json.dumps(pair) + "\n" for pair in pairs) + "{broken\n"
    s3 = boto3.client(
        "s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", aws_access_key_id="test",
        aws_secret_access_key="test",
    )  # fmt: skip
    s3.create_bucket(Bucket="work")
    s3.put_object(Bucket="work", Key="in.jsonl", Body=data.encode())
    answer = container.invoke({"input": "s3://work/in.jsonl", "output": "s3://work/out.jsonl"}, seconds=600)
    assert not answer.failed, answer.payload
    assert answer.value["rejected"] == {"bad_json": 1}
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "in.jsonl"), Path(folder, "out.jsonl")
        source.write_text(data)
        score_file(scorer, str(source), str(output))
        for ending in ("", ".rejects.jsonl"):
            found = s3.get_object(Bucket="work", Key=f"out.jsonl{ending}")["Body"].read()
            assert found == Path(f"{output}{ending}").read_bytes(), f"out.jsonl{ending}"
    names = [found["Key"] for found in s3.list_objects_v2(Bucket="work")["Contents"]]
    assert names == ["in.jsonl", "out.jsonl", "out.jsonl.manifest.json", "out.jsonl.rejects.jsonl"]
    for name in names:
        s3.delete_object(Bucket="work", Key=name)
    scorer.close()
    return len(pairs) + 1
