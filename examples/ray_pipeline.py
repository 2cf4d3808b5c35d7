"""Scores inside a Ray Data pipeline of your own.

python examples/ray_pipeline.py out/bundle pairs.parquet scored/

For a job that can be killed and goes on, use `pairlift score … --engine ray` instead.
"""

import sys

import ray
from pairlift.ray.dataset import DatasetScorer

bundle, source, output = sys.argv[1:4]
pairs = ray.data.read_parquet(source)
scored = pairs.map_batches(
    DatasetScorer,
    fn_constructor_args=[bundle],
    batch_size=2048,
    compute=ray.data.ActorPoolStrategy(size=1),  # as many as there are processors for
    num_cpus=1,
)
scored.write_parquet(output)
print(f"{output}: {pairs.count()} rows")
