"""Data from several places come together, are split by premise, and are tokenised once."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from models import bert_vocabulary
from pairlift.encoding.encoder import EncoderRecord, PairEncoder
from pairlift.encoding.packing import ROUND_ROBIN, Packing
from pairlift.encoding.tokenizer import TokenizerRecord
from pairlift.errors import InputError
from pairlift_training.batches import Encoded
from pairlift_training.cache import ENTRY, Cache, find_cache
from pairlift_training.data import read_data, read_parts
from pairlift_training.feed import Feed

FIELDS = ("hypothesis", "premise")
PAIRS = [("a man runs", "the dog sleeps"), ("a cat", "two dogs in the park"), ("the house is red", "a man runs")]


def make_encoder(length: int = 16) -> PairEncoder:
    tokenizer = TokenizerRecord(
        family="wordpiece", vocabulary=tuple(bert_vocabulary()), lowercase=True, unknown="[UNK]"
    )  # fmt: skip
    packing = Packing(
        sequence_length=length, truncation=ROUND_ROBIN, start=(2,), separator=(3,), end=(3,), pad=0, segment_ids=True
    )
    return PairEncoder(EncoderRecord(tokenizer=tokenizer, packing=packing))


def rows_of(data: Encoded) -> list[list[int]]:
    return data.pack(np.arange(len(data))).token_ids.tolist()  # type: ignore[no-any-return]


def test_files_of_every_format_come_together_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("premise,hypothesis,label\np1,h1,neutral\np2,h2,-\n")
    (tmp_path / "b.tsv").write_text("label\thypothesis\tpremise\nentailment\th3\tp3\n")
    with gzip.open(tmp_path / "c.jsonl.gz", "wt") as file:
        file.write('{"sentence1": "p4", "sentence2": "h4", "gold_label": "contradiction"}\n{"broken\n')
    rows = read_data([str(tmp_path / name) for name in ("a.csv", "b.tsv", "c.jsonl.gz")], FIELDS)
    assert rows.pairs == [("h1", "p1"), ("h3", "p3"), ("h4", "p4")]
    assert rows.labels == ["neutral", "entailment", "contradiction"]
    assert rows.filtered == {"bad_json": 1, "no_label": 1}
    assert rows.source == "a.csv + b.tsv + c.jsonl.gz"


def test_the_share_held_out_can_be_chosen_and_is_of_whole_premises(tmp_path: Path) -> None:
    lines = [json.dumps({"premise": f"p{i % 100}", "hypothesis": f"h{i}", "label": "yn"[i % 2]}) for i in range(1000)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    parts = read_parts([str(tmp_path / "a.jsonl")], (), (), 0.3, None, FIELDS)
    assert 150 < len(parts.validation.pairs) < 450
    assert len(parts.train.pairs) + len(parts.validation.pairs) == 1000
    assert not {p for _, p in parts.train.pairs} & {p for _, p in parts.validation.pairs}
    assert parts.labels == ("n", "y")
    with pytest.raises(InputError, match="1000 rows are too few to hold 0% out; give --validation"):
        read_parts([str(tmp_path / "a.jsonl")], (), (), 1e-9, None, FIELDS)


def test_a_label_is_checked_in_every_part(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("premise,hypothesis,label\np1,h1,yes\np2,h2,no\n")
    (tmp_path / "b.csv").write_text("premise,hypothesis,label\np1,h1,perhaps\n")
    a, b = str(tmp_path / "a.csv"), str(tmp_path / "b.csv")
    for validation, test in (([b], []), ([a], [b])):
        with pytest.raises(InputError, match=r"b.csv: unknown label 'perhaps' in 1 rows, expected one of no, yes"):
            read_parts([a], validation, test, 0.1, None, FIELDS)


def test_tokens_are_made_once_and_read_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = rows_of(Encoded(make_encoder(), PAIRS, Cache(tmp_path)))
    assert first == rows_of(Encoded(make_encoder(), PAIRS))
    again = make_encoder()
    monkeypatch.setattr(again, "tokenize", lambda texts: pytest.fail("tokenised twice"))
    assert rows_of(Encoded(again, PAIRS, Cache(tmp_path))) == first


def test_the_cache_knows_data_and_tokenizers_apart_but_not_lengths(tmp_path: Path) -> None:
    cache, encoder = Cache(tmp_path), make_encoder()

    def entries() -> int:
        return len(list((tmp_path / "tokens").iterdir()))

    Encoded(encoder, PAIRS, cache)
    Encoded(make_encoder(length=8), PAIRS, cache)
    assert entries() == 1
    Encoded(encoder, PAIRS[:2], cache)
    assert entries() == 2
    Encoded(encoder, [(a + b, "") for a, b in PAIRS], cache)
    assert entries() == 3
    record = encoder.record
    cased = TokenizerRecord(family="wordpiece", vocabulary=record.tokenizer.vocabulary, unknown="[UNK]")
    Encoded(PairEncoder(EncoderRecord(tokenizer=cased, packing=record.packing)), PAIRS, cache)
    assert entries() == 4


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "add", "entry"])
def test_a_damaged_entry_is_made_again(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    good = rows_of(Encoded(make_encoder(), PAIRS, Cache(tmp_path)))
    (entry,) = (tmp_path / "tokens").iterdir()
    ids = entry / "ids.npy"
    data = bytearray(ids.read_bytes())
    if damage == "flip":
        data[-4] ^= 1
        ids.write_bytes(data)
    elif damage == "cut":
        ids.write_bytes(data[:-4])
    elif damage == "remove":
        ids.unlink()
    elif damage == "add":
        (entry / "more.npy").write_bytes(data)
    else:
        (entry / ENTRY).write_text("{}")
    assert rows_of(Encoded(make_encoder(), PAIRS, Cache(tmp_path))) == good
    assert "damaged; made again" in caplog.text
    caplog.clear()
    assert rows_of(Encoded(make_encoder(), PAIRS, Cache(tmp_path))) == good
    assert caplog.text == ""
    assert len(list((tmp_path / "tokens").iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    assert rows_of(Encoded(make_encoder(), PAIRS, Cache(tmp_path / "file"))) == rows_of(Encoded(make_encoder(), PAIRS))
    assert "the cache cannot be written" in caplog.text


def test_the_cache_is_where_the_user_keeps_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    find_cache(None).entry("kind", "key", lambda folder: None)
    assert (tmp_path / "caches/pairlift/kind/key").is_dir()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    find_cache(None).entry("kind", "key", lambda folder: None)
    assert (tmp_path / ".cache/pairlift/kind/key").is_dir()


def test_an_epoch_is_every_row_once_in_an_order_of_seed_and_epoch() -> None:
    pairs = [("a man " * (i % 5), "the dog " * (i % 3)) for i in range(50)]
    data, truth = Encoded(make_encoder(), pairs), np.zeros(50, np.int64)

    def epoch(seed: int, number: int) -> list[list[int]]:
        return [rows.tolist() for rows in Feed(data, truth, 8, seed).epoch(number)]

    assert sorted(row for batch in epoch(1, 0) for row in batch) == list(range(50))
    assert [len(batch) for batch in sorted(epoch(1, 0), key=len)] == [2, *[8] * 6]
    assert epoch(1, 0) == epoch(1, 0)
    assert epoch(1, 0) != epoch(1, 1)
    assert epoch(1, 0) != epoch(2, 0)


def test_the_weights_of_an_incomplete_batch_have_the_mean_of_its_rows() -> None:
    feed = Feed(Encoded(make_encoder(), PAIRS), np.array([0, 1, 2]), 8, 1)
    (rows,) = feed.epoch(0)
    for parts in (1, 2, 4):
        portions = feed.portions(rows, parts)
        assert {len(p.weights) for p in portions} == {8 // parts}
        assert sum(p.weights.sum() for p in portions) == pytest.approx(8)
        counted = [t for p in portions for t, w in zip(p.truth, p.weights, strict=True) if w]
        assert sorted(counted) == [0, 1, 2]


STORE = """
import sys, tensorflow_datasets as tfds
rows = [(i, {"premise": f"p{i}", "hypothesis": f"h{i}", "label": i % 4 - 1}) for i in range(40)]
features = tfds.features.FeaturesDict({"premise": tfds.features.Text(), "hypothesis": tfds.features.Text(),
    "label": tfds.features.ClassLabel(names=["entailment", "neutral", "contradiction"])})
tfds.dataset_builders.store_as_tfds_dataset(
    "snli", version="1.1.0", data_dir=sys.argv[1], split_datasets={"train": rows}, features=features)
"""


def test_tfds_is_read_by_a_process_of_its_own_and_then_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorflow_datasets")
    subprocess.run([sys.executable, "-c", STORE, str(tmp_path / "tfds")], check=True, capture_output=True)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    code = (
        "import sys; from pairlift_training.data import read_data; from pairlift_training.cache import find_cache\n"
        "rows = read_data('tfds:snli[train[:50%]]', ('hypothesis', 'premise'), cache=find_cache(None))\n"
        "print(len(rows.pairs), rows.filtered, rows.names, rows.pairs[0][0][0], 'tensorflow' in sys.modules)"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def read() -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
        )  # fmt: skip
        return done.stdout.strip()

    expected = "15 {'no_label': 5} ('entailment', 'neutral', 'contradiction') h False"
    assert read() == expected
    (entry,) = (tmp_path / "cache/pairlift/tfds").iterdir()
    written = (entry / "rows.jsonl").stat().st_mtime_ns
    assert read() == expected
    assert (entry / "rows.jsonl").stat().st_mtime_ns == written


def test_a_reader_that_is_killed_is_an_input_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tensorflow_datasets.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    with pytest.raises(InputError) as caught:
        read_data("tfds:snli", FIELDS)
    assert str(caught.value) == "tfds:snli[train]: the reader was ended by SIGKILL (out of memory?)"


def test_what_a_killed_process_left_in_the_cache_goes_with_the_next(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom pairlift_training.cache import Cache\n"
        "Cache(Path(sys.argv[1])).entry('kind', 'key', lambda folder: os.kill(os.getpid(), 9))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert list((tmp_path / "kind").glob(".key.*.partial"))
    Cache(tmp_path).entry("kind", "key", lambda folder: None)
    assert [path.name for path in (tmp_path / "kind").iterdir()] == ["key"]


def bert_weights(width: int, words: int, length: int) -> dict[str, Any]:
    """Return a layer of BERT as a Hugging Face checkpoint names it."""
    rng = np.random.default_rng(1)

    def draw(*shape: int) -> Any:
        return rng.normal(0, 0.3, shape).astype(np.float32)

    layer = "bert.encoder.layer.0."
    weights = {
        "bert.embeddings.word_embeddings.weight": draw(words, width),
        "bert.embeddings.position_embeddings.weight": draw(length, width),
        "bert.embeddings.token_type_embeddings.weight": draw(2, width),
        "bert.pooler.dense.weight": draw(width, width),
        "bert.pooler.dense.bias": draw(width),
        f"{layer}intermediate.dense.weight": draw(2 * width, width),
        f"{layer}intermediate.dense.bias": draw(2 * width),
        f"{layer}output.dense.weight": draw(width, 2 * width),
        f"{layer}output.dense.bias": draw(width),
    }
    for name in ("self.query", "self.key", "self.value", "output.dense"):
        weights |= {
            f"{layer}attention.{name}.weight": draw(width, width),
            f"{layer}attention.{name}.bias": draw(width),
        }
    for name in ("bert.embeddings.LayerNorm", f"{layer}attention.output.LayerNorm", f"{layer}output.LayerNorm"):
        weights |= {f"{name}.weight": np.ones(width, np.float32), f"{name}.bias": np.zeros(width, np.float32)}
    return weights


@pytest.mark.keras
def test_a_hugging_face_directory_is_fine_tuned(pairlift: Run, tmp_path: Path) -> None:
    numpy_file = pytest.importorskip("safetensors.numpy")
    preset, words = tmp_path / "preset", bert_vocabulary()
    preset.mkdir()
    (preset / "vocab.txt").write_text("\n".join(words) + "\n")
    (preset / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    (preset / "config.json").write_text(
        json.dumps(
            {
                "architectures": ["BertForMaskedLM"], "model_type": "bert", "vocab_size": len(words), "hidden_size": 8,
                "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "hidden_act": "gelu",
                "hidden_dropout_prob": 0.1, "max_position_embeddings": 24, "type_vocab_size": 2,
            }
        )
    )  # fmt: skip
    weights = bert_weights(8, len(words), 24)
    numpy_file.save_file(weights, preset / "model.safetensors", metadata={"format": "pt"})
    lines = [{"premise": f"the {w} is", "hypothesis": "a", "label": w} for w in ("man", "dog") * 16]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    code = (
        "import sys; from pairlift.__main__ import make_cli; make_cli().main(sys.argv[1:], standalone_mode=False)\n"
        "loaded = [n for n, m in sys.modules.items() if n.split('.')[0] in ('tensorflow', 'tensorflow_text') and m]\n"
        "print('loaded', loaded)"
    )
    command = ["train", "pairs.jsonl", "run", "--validation", "pairs.jsonl", "--preset", "preset", "--quiet"]
    tiny = ["--epochs", "1", "--sequence-length", "16", "--learning-rate", "1e-9", "--schedule", "constant"]
    done = subprocess.run(
        [sys.executable, "-c", code, *command, *tiny, "--weight-decay", "0"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "loaded []" in done.stdout
    import keras

    model = keras.models.load_model(tmp_path / "run/model.keras")
    found = keras.ops.convert_to_numpy(model.backbone.token_embedding.embeddings)
    np.testing.assert_allclose(found, weights["bert.embeddings.word_embeddings.weight"], atol=1e-6)
