"""What a job of a billion pairs takes and costs on N machines: a simulation, from what one machine was measured to do.

python benchmarks/simulate.py [--pairs 1e9] [--rate 6000] [--inputs 1000] ...

Events are simulated call by call: the plan of several inputs is made by the workers, that of one by the driver while they work; a worker reads
its ranges, scores, and writes a part and a receipt for each chunk; the driver takes one answer after another; the bucket takes so many requests a
second. Every constant is an option; the defaults that were measured, and those that are assumed, are in docs/scaling.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import heapq
import random

# As in pairlift.ray.pool.
AT_ONCE, CALL_SECONDS, DRIVER_SECONDS, MOST_CHUNKS = 2, 1.0, 0.006, 32


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A job and what it runs on; seconds, bytes and dollars."""

    pairs: int
    chunk_rows: int
    bytes_per_pair: int
    rate: float
    cores: int
    inputs: int
    plan_rate: float
    call_seconds: float
    receipt_seconds: float
    descriptor_bytes: float
    start_seconds: float
    request_seconds: float
    bandwidth: float
    puts_per_second: float
    gets_per_second: float
    spread: float
    death_hours: float
    machine_dollars: float
    put_dollars: float
    get_dollars: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a job took on so many machines."""

    machines: int
    plan_seconds: float
    run_seconds: float
    driver_share: float
    bucket_share: float
    lost: int
    machine_dollars: float
    request_dollars: float
    driver_bytes: float


def simulate(setting: Setting, machines: int, seed: int = 1) -> Result:
    """Run a job on machines of `cores` workers each."""
    chance = random.Random(seed)
    left = chunks = -(-setting.pairs // setting.chunk_rows)
    workers = machines * setting.cores
    alone = setting.chunk_rows / setting.rate
    lots = -(-setting.inputs // workers) if setting.inputs > 1 else 0  # that each worker plans before it scores
    planning = lots * setting.pairs / setting.inputs / setting.plan_rate
    free = [setting.start_seconds + planning] * workers
    heapq.heapify(free)
    driver = bucket = driver_busy = bucket_busy = end = 0.0
    lost = given = 0
    interval = max(2 / setting.puts_per_second, 2 / setting.gets_per_second)  # of the bucket's time for one chunk
    death = 1 / (setting.death_hours * 3600) if setting.death_hours else 0.0
    fitting = max(1, min(MOST_CHUNKS, int(max(CALL_SECONDS, DRIVER_SECONDS * workers) / alone)))
    while left:
        count = max(1, min(fitting, left // (AT_ONCE * workers)))
        began = heapq.heappop(free)
        if setting.inputs == 1:  # what is not planned yet cannot be given
            began = max(began, setting.start_seconds + (given + count) * setting.chunk_rows / setting.plan_rate)
        seconds = sum(alone * chance.lognormvariate(0, setting.spread) for _ in range(count))
        seconds += count * (
            4 * setting.request_seconds + 2 * setting.chunk_rows * setting.bytes_per_pair / setting.bandwidth
        )
        while death and chance.random() < death * seconds:  # the worker dies on the way: another one begins again
            began += chance.random() * seconds + setting.start_seconds
            lost += 1
        bucket = max(bucket, began) + count * interval
        bucket_busy += count * interval
        done = max(began + seconds, bucket)
        taking = setting.call_seconds + count * setting.receipt_seconds
        driver = max(driver, done) + taking
        driver_busy += taking
        heapq.heappush(free, done)
        end = max(end, driver)
        left, given = left - count, given + count
    hours = end / 3600
    return Result(
        machines=machines,
        plan_seconds=planning if setting.inputs > 1 else setting.pairs / setting.plan_rate,
        run_seconds=end,
        driver_share=driver_busy / end,
        bucket_share=bucket_busy / end,
        lost=lost,
        machine_dollars=hours * machines * setting.machine_dollars,
        request_dollars=chunks * 2 * (setting.put_dollars + setting.get_dollars),
        driver_bytes=chunks * setting.descriptor_bytes,
    )


def main() -> None:
    """Print a table for numbers of machines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = {
        "pairs": 1e9, "chunk-rows": 4096, "bytes-per-pair": 110, "rate": 5600, "cores": 8, "inputs": 1000, "plan-rate": 1000e3, "call-seconds": 0.00125,
        "receipt-seconds": 0.00015,
        "descriptor-bytes": 700, "start-seconds": 6, "request-seconds": 0.03, "bandwidth": 50e6, "puts-per-second": 3500,
        "gets-per-second": 5500, "spread": 0.1, "death-hours": 500, "machine-dollars": 0.357, "put-dollars": 5e-6,
        "get-dollars": 4e-7,
    }  # fmt: skip
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=float, default=value)
    parser.add_argument("--machines", type=int, nargs="+", default=[1, 4, 16, 64, 256, 1024])
    given = vars(parser.parse_args())
    machines = given.pop("machines")
    setting = Setting(
        **{
            n: int(v) if n in ("pairs", "chunk_rows", "cores", "bytes_per_pair", "inputs") else v
            for n, v in given.items()
        }
    )
    print(
        "| machines | cores | plan | in all | by rows / (cores x rate) | driver busy | bucket busy | workers lost | machines $ | requests $ | per million $ |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for count in machines:
        r = simulate(setting, count)
        dollars = r.machine_dollars + r.request_dollars
        print(
            f"| {count} | {count * setting.cores} | {spell(r.plan_seconds)} | {spell(r.run_seconds)} "
            f"| {r.run_seconds / (setting.pairs / (count * setting.cores * setting.rate)):.2f} "
            f"| {r.driver_share:.0%} | {r.bucket_share:.0%} | {r.lost} | {r.machine_dollars:.2f} | {r.request_dollars:.2f} "
            f"| {dollars / setting.pairs * 1e6:.3f} |"
        )
    print(
        f"\ndriver: {r.driver_bytes / 1e6:.0f} MB of descriptors and receipts; {-(-setting.pairs // setting.chunk_rows):,} chunks"
    )


def spell(seconds: float) -> str:
    """Return a time for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    main()
