"""What a job of a billion pairs takes and costs on N machines: a simulation, from what one machine was measured to do.

python benchmarks/simulate.py [--pairs 1e9] [--rate 6000] ...

Events are simulated chunk by chunk: a driver that plans before anything runs and takes receipts one at a time, workers that read
their range, score, and write their part and its entry, and a bucket that takes so many requests a second. Every constant is an option;
the defaults that were measured, and those that are assumed, are in docs/scaling.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import heapq
import random

CHUNK_ROWS = 4096


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A job and what it runs on; seconds, bytes and dollars."""

    pairs: int
    bytes_per_pair: int
    rate: float
    cores: int
    plan_rate: float
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

    @property
    def seconds(self) -> float:
        """From the beginning to the end."""
        return self.plan_seconds + self.run_seconds


def simulate(setting: Setting, machines: int, seed: int = 1) -> Result:
    """Run a job on machines of `cores` workers each."""
    chance = random.Random(seed)
    chunks = -(-setting.pairs // CHUNK_ROWS)
    workers = machines * setting.cores
    size = CHUNK_ROWS * setting.bytes_per_pair
    plan = setting.pairs / setting.plan_rate
    free = [setting.start_seconds] * workers
    heapq.heapify(free)
    driver = bucket = driver_busy = bucket_busy = end = 0.0
    lost = 0
    interval = 2 / setting.puts_per_second + 1 / setting.gets_per_second  # of the bucket's time for one chunk
    death = 1 / (setting.death_hours * 3600) if setting.death_hours else 0.0
    for _ in range(chunks):
        began = heapq.heappop(free)
        seconds = CHUNK_ROWS / setting.rate * chance.lognormvariate(0, setting.spread)
        seconds += 3 * setting.request_seconds + 2 * size / setting.bandwidth
        while death and chance.random() < death * seconds:  # the worker dies on the way: another one begins again
            began += chance.random() * seconds + setting.start_seconds
            lost += 1
        bucket = max(bucket, began) + interval
        bucket_busy += interval
        done = max(began + seconds, bucket)
        driver = max(driver, done) + setting.receipt_seconds
        driver_busy += setting.receipt_seconds
        heapq.heappush(free, done)
        end = max(end, driver)
    hours = (plan + end) / 3600
    return Result(
        machines=machines,
        plan_seconds=plan,
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
        "pairs": 1e9, "bytes-per-pair": 110, "rate": 5600, "cores": 8, "plan-rate": 800e3, "receipt-seconds": 0.007,
        "descriptor-bytes": 700, "start-seconds": 15, "request-seconds": 0.03, "bandwidth": 50e6, "puts-per-second": 3500,
        "gets-per-second": 5500, "spread": 0.1, "death-hours": 500, "machine-dollars": 0.357, "put-dollars": 5e-6,
        "get-dollars": 4e-7,
    }  # fmt: skip
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=float, default=value)
    parser.add_argument("--machines", type=int, nargs="+", default=[1, 4, 16, 64, 256, 1024])
    given = vars(parser.parse_args())
    machines = given.pop("machines")
    setting = Setting(**{n: int(v) if n in ("pairs", "cores", "bytes_per_pair") else v for n, v in given.items()})
    print(
        "| machines | cores | plan | run | in all | driver busy | bucket busy | workers lost | machines $ | requests $ | per million $ |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for count in machines:
        r = simulate(setting, count)
        dollars = r.machine_dollars + r.request_dollars
        print(
            f"| {count} | {count * setting.cores} | {spell(r.plan_seconds)} | {spell(r.run_seconds)} | {spell(r.seconds)} "
            f"| {r.driver_share:.0%} | {r.bucket_share:.0%} | {r.lost} | {r.machine_dollars:.2f} | {r.request_dollars:.2f} "
            f"| {dollars / setting.pairs * 1e6:.3f} |"
        )
    print(
        f"\ndriver: {r.driver_bytes / 1e6:.0f} MB of descriptors and receipts; {-(-setting.pairs // CHUNK_ROWS):,} chunks"
    )


def spell(seconds: float) -> str:
    """Return a time for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    main()
