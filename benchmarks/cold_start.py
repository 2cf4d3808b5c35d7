"""From process start to the first score, split, beside sentence-transformers and the bare imports; processes in turns.

python benchmarks/cold_start.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

from models import ROOT, TINY, make_models
from peers import PEERS_PYTHON
from report import print_table, save

ROUNDS = 7
PAIR = ("a man sleeps", "a man in a red shirt is asleep on a park bench")
BARE = "import numpy, onnxruntime, tokenizers"
PAIRLIFT = """
import sys, time
marks = [("process", time.time())]
from pairlift.model.bundle import Bundle
from pairlift.model import scorer
from pairlift.model import session
import onnxruntime
marks.append(("import", time.time()))
bundle = Bundle.open(sys.argv[1])
bundle.encoder_record
encoder = scorer.PairEncoder
def timed(*arguments):
    made = encoder(*arguments)
    marks.append(("tokenizer", time.time()))
    return made
scorer.PairEncoder = timed
found = scorer.Scorer(bundle, sys.argv[2])
marks.append(("session", time.time()))
found.score([(sys.argv[3], sys.argv[4])])
marks.append(("first batch", time.time()))
print(" ".join(f"{name.replace(' ', '_')}={at}" for name, at in marks))
"""
SENTENCE_TRANSFORMERS = """
import sys
from sentence_transformers import CrossEncoder
model = CrossEncoder(sys.argv[1], backend="onnx", device="cpu", model_kwargs={"provider": "CPUExecutionProvider", "file_name": "onnx/model.onnx"})
model.predict([(sys.argv[3], sys.argv[4])], apply_softmax=True, show_progress_bar=False)
"""
SAVE_ONNX = """
import sys
from sentence_transformers import CrossEncoder
CrossEncoder(sys.argv[1], backend="onnx", device="cpu", model_kwargs={"provider": "CPUExecutionProvider"}).save_pretrained(sys.argv[2])
"""


def run(python: str, code: str, *arguments: str) -> tuple[float, dict[str, float]]:
    """Return the wall time of a process, and the split it printed."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "ORT_DISABLE_TELEMETRY": "1"}
    started = time.time()
    done = subprocess.run([python, "-c", code, *arguments], capture_output=True, text=True, env=environment, check=True)
    wall = time.time() - started
    marks = [part.split("=") for part in done.stdout.split()] if "process=" in done.stdout else []
    times = [started, *(float(at) for _, at in marks)]
    return wall, {name: after - before for (name, _), before, after in zip(marks, times, times[1:], strict=False)}


def main() -> None:
    """Run the rounds, print and save."""
    folder = make_models(ROOT / "out/benchmarks/tiny", *TINY)
    exported = folder / "hf-onnx"  # saved once, as sentence-transformers advises, so that a start does not export
    if not exported.exists():
        run(str(PEERS_PYTHON), SAVE_ONNX, str(folder / "hf"), str(exported))
    bundle = str(folder / "bundle")
    commands = {
        "bare imports": (sys.executable, BARE),
        "pairlift fp32": (sys.executable, PAIRLIFT, bundle, "fp32", *PAIR),
        "pairlift int8": (sys.executable, PAIRLIFT, bundle, "int8", *PAIR),
        "sentence-transformers, ONNX": (str(PEERS_PYTHON), SENTENCE_TRANSFORMERS, str(exported), "", *PAIR),
    }
    walls: dict[str, list[float]] = {name: [] for name in commands}
    splits: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for round_ in range(ROUNDS + 1):
        for name, command in commands.items():
            wall, split = run(*command)
            if round_:  # the first fills the page cache
                walls[name].append(wall)
                splits[name].append(split)
    bare = statistics.median(walls["bare imports"])
    results = {
        name: {
            "seconds": round(statistics.median(times), 3),
            "times_bare_imports": round(statistics.median(times) / bare, 2),
            "split": {part: round(statistics.median(s[part] for s in splits[name]), 3) for part in splits[name][0]},
        }
        for name, times in walls.items()
    }
    save("cold_start", {"rounds": ROUNDS, "starts": results})
    parts = ("process", "import", "tokenizer", "session", "first_batch")
    rows = []
    for name, found in results.items():
        cells = [f"{found['split'][p] * 1000:.0f}" if p in found["split"] else "" for p in parts]
        rows.append((name, f"{found['seconds'] * 1000:.0f}", f"{found['times_bare_imports']} x", *cells))
    print_table(("process start to first score, ms", "all", "bare imports", *parts), rows)


if __name__ == "__main__":
    main()
