"""What a sweep costs: per packing against a process for each, with two processes, per item of paper.

`python scripts/bench/sweep.py [sweep.json] [-n 32] [-m 400] [--items 100000]`

m packings of n bidisperse discs at packing fraction 0.95 from random starts, each with the derivatives
of energy and pressure by all diameters; compiled code comes from a warm cache:
    process    `mdsens run`, one process per packing (three of them, the median)
    sweep      `mdsens sweep run` in one process on one core; with and without its start
    two        `mdsens sweep run --jobs 2`, a core each
and of a plan of so many items the seconds that plan, status and merge take, the shards being copies of
one that was computed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from mdsens.sweeps.compute import compute
from mdsens.sweeps.items import Items
from mdsens.sweeps.merge import merge
from mdsens.sweeps.outcomes import columns_of
from mdsens.sweeps.plan import read_plan, write_plan
from mdsens.sweeps.planning import make_plan
from mdsens.sweeps.shards import Shards
from mdsens.sweeps.spec import load
from mdsens.sweeps.status import status

RUN_TOML = """\
[system]
structure = "packings.extxyz"
[potential]
kind = "soft_sphere"
[potential.parameters]
diameter = "diameter"
[sensitivity]
observables = ["energy", "pressure"]
wrt = ["diameter"]
"""


def write_inputs(folder: Path, n: int, m: int, epsilons: int, batch: int = 64) -> None:
    rng, frames = np.random.default_rng(0), []
    sizes = np.where(np.arange(n) % 2, 1.0, 1.4)
    side = float(np.sqrt(np.pi / 4 * np.sum(sizes**2) / 0.95))
    head = (
        f'Lattice="{side} 0 0 0 {side} 0 0 0 1" pbc="T T F" '
        "Properties=species:S:1:pos:R:3:diameter:R:1"
    )
    for _ in range(m):
        places = (rng.random((n, 2)) * side).tolist()
        rows = [f"X {x!r} {y!r} 0.0 {d}" for (x, y), d in zip(places, sizes, strict=True)]
        frames += [str(n), head, *rows]
    (folder / "packings.extxyz").write_text("\n".join(frames) + "\n")
    (folder / "run.toml").write_text(RUN_TOML)
    axes = f"system.index = {{ range = [0, {m}] }}\n"
    axes += f"potential.parameters.epsilon = {{ linspace = [1.0, 2.0, {epsilons}] }}\n"
    text = f'base = "run.toml"\n[axes]\n{axes}[plan]\nbatch = {batch}\n'
    (folder / "sweep.toml").write_text(text)


def seconds(folder: Path, *arguments: str, cores: set[int]) -> float:
    """What a command takes, all of it, on these cores."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "mdsens", *arguments], cwd=folder, stdout=subprocess.DEVNULL
    )
    os.sched_setaffinity(process.pid, cores)
    if process.wait():
        raise SystemExit(f"{arguments} failed")
    return time.perf_counter() - start


def computing(folder: Path, n: int, m: int) -> dict[str, float]:
    cores = sorted(os.sched_getaffinity(0))
    write_inputs(folder, n, m, 1)
    seconds(folder, "sweep", "plan", "sweep.toml", cores={cores[0]})
    run = ("sweep", "run", "sweep.plan")
    seconds(folder, *run, "-d", "warm", cores={cores[0]})  # compiles
    start = seconds(folder, *run, "-d", "warm", cores={cores[0]})  # finds all done
    alone = [seconds(folder, "run", "run.toml", cores={cores[0]}) for _ in range(4)][1:]
    one = seconds(folder, *run, "-d", "one", cores={cores[0]})
    two = seconds(folder, *run, "-d", "two", "--jobs", "2", cores=set(cores[:2]))
    shards = Shards(read_plan(folder / "sweep.plan"), folder / "one")
    merge(shards, folder / "one.h5")
    return {
        "process_s_per_packing": statistics.median(alone),
        "sweep_s_per_packing": one / m,
        "sweep_s_per_packing_without_start": (one - start) / m,
        "start_s": start,
        "packings_per_second_and_core": m / one,
        "times_faster_than_a_process_each": statistics.median(alone) * m / one,
        "two_processes_packings_per_second": m / two,
        "two_processes_speed_up": one / two,
    }


def bookkeeping(folder: Path, n: int, items: int) -> dict[str, float]:
    from mdsens.cli.environment import configure_jax

    configure_jax()
    write_inputs(folder, n, 1000, -(-items // 1000))
    spent, clock = {}, time.perf_counter()
    plan = make_plan(load(folder / "sweep.toml"), folder)
    write_plan(plan, folder / "sweep.plan")
    spent["plan"] = time.perf_counter() - clock
    plan = read_plan(folder / "sweep.plan")
    shards, batches = Shards(plan, folder / "shards"), plan.batches
    shards.adopt()
    outcomes = compute(Items(plan, folder), batches[0])
    for k, batch in enumerate(batches):
        shards.write(k, columns_of(batch, outcomes[: len(batch)]), {})
    for name, act in (
        ("status", lambda: status(shards)),
        ("merge", lambda: merge(shards, folder / "all.h5")),
    ):
        clock = time.perf_counter()
        act()
        spent[name] = time.perf_counter() - clock
    told = {f"{name}_s": s for name, s in spent.items()}
    told |= {f"{name}_us_per_item": 1e6 * s / plan.items for name, s in spent.items()}
    return {"items": plan.items, "merged_bytes": (folder / "all.h5").stat().st_size, **told}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", nargs="?", default="sweep.json")
    parser.add_argument("-n", type=int, default=32)
    parser.add_argument("-m", type=int, default=400)
    parser.add_argument("--items", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
        told = {
            "n": given.n,
            "m": given.m,
            "computing": computing(Path(a), given.n, given.m),
            "bookkeeping": bookkeeping(Path(b), given.n, given.items),
            "machine": platform.processor() or platform.machine(),
            "versions": {name: version(name) for name in ("mdsens", "jax", "numpy", "h5py")},
        }
    for part in ("computing", "bookkeeping"):
        for name, value in told[part].items():
            print(f"{part:12s} {name:36s} {value:12.5g}")
    Path(given.output).write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
