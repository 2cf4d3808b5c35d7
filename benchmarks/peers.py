"""File to file beside what a user would pick instead: the same weights, pairs and cores, in turns.

    python benchmarks/peers.py [tiny|base]

Peers run in .venv-peers (`make bench` creates it). Each is loaded and warmed up first; then rounds over the same file, one
peer after the other, so that a slow moment of the machine hits all alike. A peer that would take minutes a round gets
fewer rows, and its rate is per row.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from models import BASE, PAIRS, ROOT, TINY, make_models
from report import print_table, save

ROUNDS = int(os.environ.get("ROUNDS", "5"))
WARM_UP_ROWS = 256
PEERS_PYTHON = ROOT / ".venv-peers/bin/python"
# name: (what it is, rows a round for the tiny model, for the base model; None for all)
PEERS = {
    "keras:512": ("KerasHub predict, length 512 (default)", 512, 32),
    "keras:128": ("KerasHub predict, length 128", 2048, 64),
    "pipeline": ("transformers pipeline", None, 256),
    "cross-encoder:torch": ("sentence-transformers, torch", None, 256),
    "cross-encoder:onnx": ("sentence-transformers, ONNX", None, 256),
    "optimum": ("optimum, sorted by length", None, 256),
    "tf2onnx": ("tf2onnx graph, plain loop, padded to 128", 2048, 64),
    "pairlift:fp32": ("pairlift fp32", None, 256),
    "pairlift:int8": ("pairlift int8", None, 1024),
}
OURS = ("keras", "tf2onnx", "pairlift")


class Peer:
    """A peer's process."""

    def __init__(self, name: str, folder: Path) -> None:
        python = sys.executable if name.startswith(OURS) else str(PEERS_PYTHON)
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        self._process = subprocess.Popen(
            [python, str(Path(__file__).with_name("peer.py")), name, str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip
        if self._answer() != "ready":
            raise SystemExit(f"{name}: did not start")

    def run(self, source: Path, output: Path) -> float:
        """Score a file and return the seconds it took."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{source} {output}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("@ "):
                return line[2:].strip()
        raise SystemExit(f"{self._process.args}: ended; run it by hand to see why")


def main(size: str = "tiny") -> None:
    """Run the rounds, compare the outputs, print and save."""
    folder = make_models(ROOT / "out/benchmarks" / size, *(TINY if size == "tiny" else BASE))
    lines = PAIRS.read_bytes().splitlines(keepends=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        files = {}
        for name, (_, tiny, base) in PEERS.items():
            rows = (tiny if size == "tiny" else base) or len(lines)
            files[name] = work / f"{rows}.jsonl"
            files[name].write_bytes(b"".join(lines[:rows]))
        warm = work / "warm.jsonl"
        warm.write_bytes(b"".join(lines[: WARM_UP_ROWS if size == "tiny" else 32]))
        peers = {name: Peer(name, folder) for name in PEERS}
        outputs = {name: work / f"{i}.out.jsonl" for i, name in enumerate(PEERS)}
        for name, peer in peers.items():
            peer.run(warm, outputs[name])
        seconds: dict[str, list[float]] = {name: [] for name in PEERS}
        for round_, (name, peer) in itertools.product(range(ROUNDS), peers.items()):
            seconds[name].append(peer.run(files[name], outputs[name]))
            print(f"round {round_ + 1} of {ROUNDS}: {name} {seconds[name][-1]:.2f} s", file=sys.stderr)
        for peer in peers.values():
            peer.close()
        scores = {name: read_scores(path) for name, path in outputs.items()}
    rates = {n: [len(scores[n]) / s for s in times] for n, times in seconds.items()}
    medians = {name: statistics.median(values) for name, values in rates.items()}
    reference = scores["pairlift:fp32"]
    results = {}
    for name, (title, *_) in PEERS.items():
        common = min(len(reference), len(scores[name]))
        difference = float(np.abs(reference[:common] - scores[name][:common]).max())
        same = float((reference[:common].argmax(1) == scores[name][:common].argmax(1)).mean())
        results[name] = {
            "title": title, "pairs_per_second": round(medians[name], 1), "rounds": [round(r, 1) for r in rates[name]],
            "rows": len(scores[name]), "max_difference": difference, "same_label": same,
            "fp32_is_times": round(medians["pairlift:fp32"] / medians[name], 2),
            "int8_is_times": round(medians["pairlift:int8"] / medians[name], 2),
        }  # fmt: skip
    save(f"peers_{size}", {"size": size, "rounds": ROUNDS, "peers": results})
    print_table(
        ("file to file", "pairs/s", "fp32 is", "int8 is", "max |Δp|", "labels"),
        [
            (r["title"], f"{r['pairs_per_second']:,.0f}", f"{r['fp32_is_times']} x", f"{r['int8_is_times']} x", f"{r['max_difference']:.1e}", f"{r['same_label']:.1%}")
            for r in results.values()
        ],
    )  # fmt: skip


def read_scores(path: Path) -> np.ndarray:
    """Return the probabilities of an output, in the order of the labels."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    return np.array([row.get("scores") or [v for k, v in row.items() if k.startswith("p_")] for row in rows])


if __name__ == "__main__":
    main(*sys.argv[1:])
