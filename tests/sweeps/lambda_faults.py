"""Containers of the function that are killed, started twice, cut off and lied to at random; one right result each time.

    PYTHONPATH=tests python tests/sweeps/lambda_faults.py [ROUNDS] [SEED]

Each round puts an input into a bucket and one or two messages about it into a queue, and delivers them, to one container or to two
at once, until the queue is empty. Requests are refused, reset, lost and cut at a rate of their own; at some request a container is
killed; deadlines are too short for the job or not. After so many deliveries there is calm, as in the end there is on AWS. Then the
output and the rejects must be the bytes that a job of files makes, nothing else may be left, no unfinished upload either, and
none of the objects that the containers made may make another job. A message is settled by the worst of the containers that had it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, unquote

import pytest
from bucket import Bucket, Proxy, serve_moto, serve_proxy
from conftest import score_small
from lambda_events import eventbridge_event, make_rows, s3_event, s3_record
from lambda_function import PYTHON, ROOT, Code, build_code, take_sources
from lambda_queue import MessageQueue
from lambda_runtime import Answer, LambdaRuntime
from pairlift import Scorer

BUNDLE = ROOT / "tests/data/bundle"
SUFFIXES = (".jsonl", ".csv", ".tsv.gz")
ROWS = (1, 16, 40, 100, 250)
KINDS = ("500", "503", "reset", "lost", "cut")
STORMY = 12  # deliveries before the calm
MOST_DELIVERIES = 200


class Containers:
    """Two containers; one that is killed is followed by another."""

    def __init__(self, code: Code, proxy: Proxy) -> None:
        endpoint = f"http://127.0.0.1:{proxy.server_address[1]}"
        self._environment = {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_ENDPOINT_URL": endpoint,
        }
        self._code = code
        self.running = [self._start(), self._start()]
        self.failures: Counter[str] = Counter()

    def _start(self) -> LambdaRuntime:
        return self._code.start(self._environment).__enter__()

    def wait(self, index: int, name: str) -> Answer | None:
        """Return a container's answer, or None when it was killed, and replace it then."""
        try:
            return self.running[index].wait(name)
        except RuntimeError:
            self.end(index)
            self.running[index] = self._start()
            return None

    def end(self, index: int) -> None:
        """End a container, and count what it said."""
        log = self.running[index].read_log()
        assert "internal error" not in log and "[WARNING]" not in log, log
        for line in log.splitlines():
            with contextlib.suppress(ValueError):
                for failure in json.loads(line)["failures"] if line.startswith('{"pairlift"') else ():
                    self.failures[failure.split(": ")[1]] += 1
        self.running[index].__exit__(None, None, None)


class Storm:
    """What is done to requests in a round."""

    def __init__(self, chance: random.Random, counted: Counter[str], containers: Containers) -> None:
        self._chance, self._counted, self._containers = chance, counted, containers
        self._rate = chance.choice((0, 0.02, 0.1, 0.3))
        self._kills = set(chance.sample(range(200), chance.choice((0, 1, 2, 3))))

    def __call__(self, verb: str, path: str, number: int) -> str:
        if number in self._kills:
            self._containers.running[self._chance.randrange(2)].kill()
            self._counted["killed"] += 1
            return "lost"
        if self._chance.random() >= self._rate:
            return ""
        kind = self._chance.choice(KINDS)
        kind = "lost" if kind == "cut" and verb == "HEAD" else kind
        self._counted[kind] += 1
        return kind


def score_here(scorer: Scorer, folder: Path, key: str, data: bytes) -> dict[str, bytes]:
    """Return what a job of files makes, by what follows the output's name."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        source = Path(place, Path(key).name)
        output = Path(place, f"out{''.join(source.suffixes)}")
        source.write_bytes(data)
        score_small(scorer, source, output)
        found = {path.name.removeprefix(output.name): path.read_bytes() for path in Path(place).glob("out*")}
    return {ending: data for ending, data in found.items() if ending != ".manifest.json"}


def make_event(chance: random.Random, bucket: Bucket, key: str, output: str) -> dict[str, Any]:
    """Return what asks for the job, in one shape or another."""
    shape = chance.randrange(3)
    if shape == 0:
        return {"input": bucket.url(key), "output": bucket.url(output)}
    if shape == 1:
        return s3_event(s3_record(quote_plus(key, safe="/"), bucket=bucket.name))
    event = eventbridge_event(key)
    event["detail"]["bucket"]["name"] = bucket.name
    return event


def deliver(chance: random.Random, queue: MessageQueue, containers: Containers, seconds: float) -> int | None:
    """Deliver messages, to two containers at once now and then; return how many containers, or None when there are none."""
    messages = queue.receive(chance.choice((1, 1, 10)))
    if not messages:
        return None
    event = queue.make_event(messages)
    chosen = chance.choice(((0,), (1,), (0, 1)))
    sent = [(index, containers.running[index].send(event, seconds)) for index in chosen]
    answers = [containers.wait(index, name) for index, name in sent]
    worst = min(answers, key=lambda answer: -1 if answer is None else -len(answer.value["batchItemFailures"]))
    queue.settle(messages, None if None in answers else worst)
    return len(chosen)


def check_round(bucket: Bucket, containers: Containers, key: str, output: str, expected: dict[str, bytes]) -> None:
    """Hold the bucket to one right result, and the objects that were made to being no inputs."""
    keys = sorted([key, f"{output}.manifest.json", *(output + ending for ending in expected)])
    assert sorted(bucket.list_keys()) == keys, (sorted(bucket.list_keys()), keys)
    for ending, data in expected.items():
        assert bucket.get(output + ending) == data, output + ending
    manifest = json.loads(bucket.get(f"{output}.manifest.json"))
    assert manifest["output_size"] == len(expected[""])
    assert bucket.uploads() == []
    lines = [line.split(" ", 1) for line in bucket.proxy.requests]
    made = {unquote(path.partition("?")[0]) for verb, path in lines if verb in ("PUT", "POST")}
    made = {path.removeprefix(f"/{bucket.name}/") for path in made if path.startswith(f"/{bucket.name}/")} - {""}
    event = s3_event(*(s3_record(quote_plus(name, safe="/"), bucket=bucket.name) for name in sorted(made)))
    answer = None
    while answer is None:  # it may have been killed when it had nothing to do
        answer = containers.wait(0, containers.running[0].send(event))
    assert answer.value == {"jobs": []}, answer.payload
    assert sorted(bucket.list_keys()) == keys


@contextlib.contextmanager
def started(folder: Path) -> Iterator[tuple[int, Proxy, Containers]]:
    """Run moto's server, the proxy and the containers."""
    code = build_code(folder, BUNDLE, PYTHON) if PYTHON else take_sources(folder, BUNDLE)
    with serve_moto() as port, serve_proxy(port) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)
        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)  # a part of an upload that is gone is a 500 of moto's
        containers = Containers(code, proxy)
        try:
            yield port, proxy, containers
        finally:
            for index in range(2):
                containers.end(index)


def main(rounds: str = "100", seed: str = "0") -> None:
    """Run the rounds, and count."""
    counted: Counter[str] = Counter()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary, started(Path(temporary)) as (port, proxy, containers):
        scorer = Scorer.open(BUNDLE)
        for number in range(int(rounds)):
            chance = random.Random(f"{seed}-{number}")
            suffix, rows = chance.choice(SUFFIXES), chance.choice(ROWS)
            data = make_rows(suffix, rows)
            bucket, queue = Bucket(f"round-{number}", proxy, port), MessageQueue(port, f"round-{number}")
            key, output = f"a b/in+{number}{suffix}", f"a b/in+{number}.scores{suffix}"
            bucket.put(key, data)
            event = make_event(chance, bucket, key, output)
            for _ in range(chance.choice((1, 1, 2))):
                queue.send(event)
            proxy.requests.clear()
            proxy.fault = Storm(chance, counted, containers)
            seconds = chance.choice((1, 5.2, 30))
            for delivery in range(MOST_DELIVERIES):
                if delivery == STORMY:
                    proxy.fault, seconds = (lambda verb, path, number: ""), 30
                reached = deliver(chance, queue, containers, seconds)
                if reached is None:
                    break
                counted["deliveries"] += 1
                counted["to two at once"] += reached == 2
            else:
                raise AssertionError(f"round {number}: not done in {MOST_DELIVERIES} deliveries")
            proxy.fault = lambda verb, path, number: ""
            expected = score_here(scorer, Path(temporary), key, data)
            try:
                check_round(bucket, containers, key, output, expected)
            except AssertionError as error:
                log = "".join(container.read_log() for container in containers.running)
                raise AssertionError(f"round {number}, seed {seed}: {error}\n{log[-5000:]}") from error
            if number % 20 == 19:
                print(f"{number + 1} rounds, {time.monotonic() - begin:.0f} s", flush=True)
    print(f"{rounds} rounds in {time.monotonic() - begin:.0f} s, one right result each, nothing left")
    print(", ".join(f"{name} {count}" for name, count in sorted(counted.items())))
    print(
        "failures that messages came again for: " + ", ".join(f"{n} {c}" for n, c in containers.failures.most_common())
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
