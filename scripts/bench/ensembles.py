"""Relaxing and differentiating many small packings: in batches, one by one, or compiled one by one.

`python scripts/bench/ensembles.py [-n 64] [-m 1024] [--batches 32 64 128 256] [-o ensembles.json]`

m packings of n bidisperse discs at packing fraction 0.9 from random starts, each relaxed to 1e-10
and polished, with dp/d(all diameters) of each; packings per second in one run, without compilation:
    batch B    relax_ensemble(..., batch=B).gradient(pressure)
    eager      a loop over jax.grad of pressure . relax
    compiled   a loop over the same under jax.jit
The loops are timed on the first --loop packings. OPENBLAS_NUM_THREADS=1 is set: threads that wait for
the small factorisations of a batch cost more than these.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)

import mdsens as ms  # noqa: E402
from mdsens.packings import random_spheres  # noqa: E402

POTENTIAL = ms.potentials.SoftSphere()


def pressure_of(params, system):
    return ms.pressure(POTENTIAL, params, ms.relax(POTENTIAL, params, system))


def in_batches(params, systems, batch: int) -> tuple[float, list]:
    """Packings per second, and the gradients."""
    start = time.perf_counter()
    ensemble = ms.relax_ensemble(POTENTIAL, params, systems, batch=batch)
    gradients = ensemble.gradient(ms.pressure)
    return len(systems) / (time.perf_counter() - start), gradients


def one_by_one(params, systems, compiled: bool) -> float:
    """Packings per second, the first not counted."""
    template = systems[0]

    def gradient(p, positions):
        return jax.grad(lambda q: pressure_of(q, template.with_positions(positions)))(p)

    run = jax.jit(gradient) if compiled else gradient
    jax.block_until_ready(run(params[0], systems[0].positions))
    start = time.perf_counter()
    for p, system in zip(params, systems, strict=True):
        jax.block_until_ready(run(p, system.positions))
    return len(systems) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", "--particles", type=int, default=64)
    parser.add_argument("-m", "--members", type=int, default=1024)
    parser.add_argument("--loop", type=int, default=64)
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 64, 128, 256])
    parser.add_argument("-o", "--output", type=Path, default=Path("ensembles.json"))
    options = parser.parse_args()

    sizes = np.where(np.arange(options.particles) % 2, 1.0, 1.4)
    systems = [random_spheres(sizes, 2, 0.9, seed=k) for k in range(options.members)]
    params = [POTENTIAL.parameters(s, diameter="diameter") for s in systems]
    rates = {}
    few = slice(options.loop)
    for name, compiled in (("eager", False), ("compiled", True)):
        rates[name] = one_by_one(params[few], systems[few], compiled)
        print(f"{name:12s} {rates[name]:8.1f} packings/s", flush=True)
    differentiated = {}
    for batch in options.batches:
        in_batches(params[: 2 * batch], systems[: 2 * batch], batch)  # compiles
        rate, gradients = in_batches(params, systems, batch)
        name = f"batch {batch}"
        rates[name] = rate
        differentiated[name] = sum(bool(np.isfinite(g["diameter"]).all()) for g in gradients)
        print(
            f"{name:12s} {rate:8.1f} packings/s, {rate / rates['eager']:5.1f} x eager, "
            f"{differentiated[name]} of {len(systems)} differentiated",
            flush=True,
        )
    options.output.write_text(
        json.dumps(
            {
                "particles": options.particles,
                "members": options.members,
                "packings_per_second": rates,
                "differentiated": differentiated,
                "device": jax.default_backend(),
                "versions": {"jax": jax.__version__, "python": platform.python_version()},
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
