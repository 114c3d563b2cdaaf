"""Implicit against unrolled differentiation of a relaxation: time, memory, accuracy. JSON out.

`python scripts/bench/implicit_vs_unrolled.py [--steps 1000] [--repeats 5] [-o FILE.json]`

128 discs (systems/disks_128), d(pressure)/d(diameters). Compared on the same machine in one run:
    relax            mdsens.relax alone
    implicit         jax.grad of the pressure of mdsens.relax
    unrolled         reverse mode through jax-md's FIRE with as many steps as asked for
Memory of a compiled program is what XLA plans for temporaries; the eager route reports the largest
of its programs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

import mdsens as ms  # noqa: E402
from mdsens._jaxmd import minimize, space  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
STRUCTURE = ROOT / "systems" / "disks_128" / "disks.extxyz"


def median_seconds(function, repeats: int) -> float:
    jax.block_until_ready(function())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function())
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def unrolled_pressure(system, steps: int):
    """Pressure after a fixed number of jax-md FIRE steps, all pairs, in jax-md's own way."""
    side = float(system.cell[0, 0])
    displacement, shift = space.periodic(side)
    pair = space.map_product(displacement)

    def energy(r, diameter, stretch=1.0):
        distance = stretch * space.distance(pair(r, r) + jnp.eye(len(r))[:, :, None])
        overlap = 1.0 - distance / (0.5 * (diameter[:, None] + diameter[None]))
        touching = (overlap > 0.0) & ~jnp.eye(len(r), dtype=bool)
        return 0.25 * jnp.sum(jnp.where(touching, overlap, 0.0) ** 2)

    start = jnp.asarray(system.positions)

    def pressure(diameter):
        init, apply = minimize.fire_descent(lambda r, **_: energy(r, diameter), shift)
        state = jax.tree.map(jnp.asarray, init(start))
        state, _ = jax.lax.scan(lambda s, _: (apply(s), None), state, None, length=steps)
        volume_slope = jax.grad(energy, argnums=2)(state.position, diameter, 1.0)
        return -volume_slope / (2.0 * side**2)

    return pressure


def temporaries(function, *args) -> int:
    return jax.jit(function).lower(*args).compile().memory_analysis().temp_size_in_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()

    system = ms.read(STRUCTURE)
    potential = ms.potentials.SoftSphere()
    params = potential.parameters(system, diameter="diameter")

    def pressure(p):
        return ms.pressure(potential, p, ms.relax(potential, p, system))

    unrolled = jax.jit(jax.grad(unrolled_pressure(system, options.steps)))
    forward = jax.jit(unrolled_pressure(system, options.steps))
    compiled_relax = jax.jit(lambda p: ms.relax(potential, p, system).positions)
    compiled = jax.jit(jax.grad(pressure))
    diameters = params["diameter"]
    seconds = {
        "relax": median_seconds(
            lambda: ms.relax(potential, params, system).positions, options.repeats
        ),
        "implicit": median_seconds(lambda: jax.grad(pressure)(params)["diameter"], options.repeats),
        "relax_jit": median_seconds(lambda: compiled_relax(params), options.repeats),
        "implicit_jit": median_seconds(lambda: compiled(params)["diameter"], options.repeats),
        "fire_jax_md": median_seconds(lambda: forward(diameters), options.repeats),
        "unrolled": median_seconds(lambda: unrolled(diameters), options.repeats),
    }
    memory = {
        "implicit_jit": temporaries(jax.grad(pressure), params),
        "unrolled": temporaries(jax.grad(unrolled_pressure(system, options.steps)), diameters),
    }
    reference = np.asarray(jax.grad(pressure)(params)["diameter"])
    found = np.asarray(unrolled(diameters))
    pressures = float(pressure(params)), float(forward(diameters))
    same_minimum = abs(pressures[0] / pressures[1] - 1.0) < 1e-6
    record = {
        "what": "d(pressure)/d(128 diameters), systems/disks_128",
        "steps_unrolled": options.steps,
        "seconds_median": seconds,
        "temporary_bytes": memory,
        "ratios": {
            "implicit / relax": seconds["implicit"] / seconds["relax"],
            "implicit_jit / relax_jit": seconds["implicit_jit"] / seconds["relax_jit"],
            "unrolled / implicit": seconds["unrolled"] / seconds["implicit"],
            "unrolled / implicit_jit": seconds["unrolled"] / seconds["implicit_jit"],
            "memory unrolled / implicit_jit": memory["unrolled"] / memory["implicit_jit"],
        },
        "pressure": {"implicit": pressures[0], "unrolled": pressures[1]},
        # From a random start different step sizes end in different minima, whose derivatives differ.
        "unrolled_minus_implicit_relative": float(
            np.linalg.norm(found - reference) / np.linalg.norm(reference)
        )
        if same_minimum
        else None,
        "versions": {
            "jax": jax.__version__,
            "mdsens": ms.__version__,
            "python": platform.python_version(),
        },
        "device": str(jax.devices()[0]),
        "cores": os.cpu_count(),
    }
    text = json.dumps(record, indent=2)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
