"""Molecular dynamics against plain jax-md, error bars with controls, and the way to T = 0.

    python scripts/bench/thermal.py [thermal.json] [--steps 4000]

1. Steps per second of a Lennard-Jones fluid (500 particles, T = 0.85, density 0.776, cutoff 2.5) beside
   jax-md's own loop on the same box: nvt_langevin with its neighbour list, checked every ten steps, in
   turns; medians.
2. Variances of d<U>/d epsilon and d<p>/d sigma without and with control variates, and what central finite
   differences of two runs as long would have.
3. d<x>/d theta of an anharmonic crystal from T = 0.2 to 0.002 against the implicit derivative at T = 0.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
from jax_md import energy, partition, simulate, space  # noqa: E402

import mdsens as ms  # noqa: E402
from mdsens import thermal  # noqa: E402

T, STEP, CUTOFF, REPEATS = 0.85, 0.004, 2.5, 5


def fluid(cells: int = 5, density: float = 0.776) -> ms.System:
    side = cells * (4.0 / density) ** (1.0 / 3.0)
    grid = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), axis=-1)
    base = np.array([[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
    x = (side / cells * (grid.reshape(-1, 1, 3) + base)).reshape(-1, 3)
    return ms.System(x, side * np.eye(3), (True,) * 3, ("X",) * len(x), (False,) * len(x))


def ours(system: ms.System, steps: int):
    """A function that runs `steps` steps and returns seconds per step, compiled beforehand."""
    potential = ms.potentials.LennardJones()
    params = potential.parameters(system, epsilon=1.0, sigma=1.0, cutoff=CUTOFF)

    def run() -> tuple[float, thermal.Trajectory]:
        stamps = []
        ensemble = thermal.NVT(
            temperature=T, time_step=STEP, steps=steps, equilibration=2000, stride=100
        )
        trajectory = thermal.simulate(
            potential,
            params,
            system,
            ensemble,
            progress=lambda *_: stamps.append(time.perf_counter()),
        )
        # The last chunk is the one whose lists are known to last.
        return (stamps[-1] - stamps[-2]) / 2000.0, trajectory

    return run


def theirs(system: ms.System, steps: int):
    side = float(system.cell[0, 0])
    displacement, shift = space.periodic(side)
    neighbor_fn, energy_fn = energy.lennard_jones_neighbor_list(
        displacement, side, sigma=1.0, epsilon=1.0, r_onset=2.0, r_cutoff=CUTOFF, dr_threshold=0.3,
        format=partition.OrderedSparse,
    )  # fmt: skip
    begin, step = simulate.nvt_langevin(energy_fn, shift, STEP, T, gamma=1.0 / (100.0 * STEP))
    pairs = neighbor_fn.allocate(jnp.asarray(system.positions), extra_capacity=5000)

    @jax.jit
    def ten(state, pairs):
        state = jax.lax.fori_loop(0, 10, lambda _, s: step(s, neighbor=pairs), state)
        return state, pairs.update(state.position)

    @jax.jit
    def many(state, pairs):
        return jax.lax.fori_loop(0, steps // 10, lambda _, c: ten(*c), (state, pairs))

    state = begin(jax.random.PRNGKey(0), jnp.asarray(system.positions), neighbor=pairs)
    here = [jax.block_until_ready(many(state, pairs))]

    def run() -> float:
        start = time.perf_counter()
        here[0] = jax.block_until_ready(many(*here[0]))
        assert not bool(here[0][1].did_buffer_overflow)
        return (time.perf_counter() - start) / steps

    return run


def speed(steps: int) -> tuple[dict, thermal.Trajectory]:
    system = fluid()
    run, plain = ours(system, steps), theirs(system, 2000)
    run()
    pairs = []
    for _ in range(REPEATS):
        mine, trajectory = run()
        pairs.append((mine, plain()))
    mine, other = np.median(pairs, axis=0)
    return {
        "particles": system.n_particles, "mdsens_ms": 1e3 * mine, "jax_md_ms": 1e3 * other,
        "ratio": float(np.median([a / b for a, b in pairs])),
    }, trajectory  # fmt: skip


def errors(trajectory: thermal.Trajectory) -> list[dict]:
    potential, rows = ms.potentials.LennardJones(), []
    wanted = {"energy": "epsilon", "pressure": "sigma"}
    found = [
        thermal.thermal_sensitivity(
            potential, trajectory, observables=list(wanted), wrt=["epsilon", "sigma"], control=c
        )
        for c in (False, True)
    ]
    for observable, parameter in wanted.items():
        plain, less = (r.sensitivity[observable][parameter] for r in found)
        # (a(1 + h) - a(1 - h)) / 2 h of two runs as long, h = 0.02.
        differences = found[0].observables[observable].error / (np.sqrt(2.0) * 0.02)
        rows.append({
            "derivative": f"d {observable} / d {parameter}", "value": float(less.value),
            "error": float(less.error), "error_without_controls": float(plain.error),
            "error_of_differences": float(differences),
            "cost_of_differences": float(2.0 * (differences / less.error) ** 2),
        })  # fmt: skip
    return rows


def cold() -> list[dict]:
    """Discs in a crystal with one of them larger: how far its neighbours are, by its diameter."""
    rows = np.arange(4)
    x, y = np.meshgrid(rows, rows, indexing="ij")
    sites = 0.9 * np.stack([x + 0.5 * (y % 2), 0.5 * np.sqrt(3.0) * y], axis=-1).reshape(-1, 2)
    n = len(sites)
    cell = np.diag([3.6, 1.8 * np.sqrt(3.0)])
    sizes = np.ones(n)
    sizes[5] = 1.05
    start = ms.System(sites, cell, (True, True), ("X",) * n, (False,) * n)
    potential = ms.potentials.SoftSphere()
    params = potential.parameters(start, diameter=sizes, alpha=2.5)

    def apart(potential, params, state):
        r = state.positions - state.positions[5][None]
        return jnp.sqrt(jnp.sum((r[1] - r[9]) ** 2))

    def at_rest(p):
        return apart(potential, p, ms.relax(potential, p, start))

    implicit = float(jax.grad(at_rest)(params)["diameter"][5])
    minimum = ms.relax(potential, params, start)
    system = start.with_positions(np.asarray(minimum.positions))
    out = []
    for t in (3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5):
        ensemble = thermal.NVT(
            temperature=t,
            time_step=0.1,
            relaxation=2.0,
            steps=100_000,
            equilibration=2000,
            stride=50,
        )
        trajectory = thermal.simulate(potential, params, system, ensemble)
        result = thermal.thermal_sensitivity(
            potential, trajectory, observables=[apart], wrt=["diameter"]
        )
        slope = result.sensitivity["apart"]["diameter"]
        out.append({
            "temperature": t, "slope": float(slope.value[5]), "error": float(slope.error[5]),
            "gain": float(slope.gain[5]), "implicit": implicit,
        })  # fmt: skip
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", type=Path, default=Path("thermal.json"))
    parser.add_argument("--steps", type=int, default=4000)
    options = parser.parse_args()
    fast, trajectory = speed(options.steps)
    print("steps   ", json.dumps(fast), flush=True)
    known = errors(trajectory)
    for row in known:
        print("error   ", json.dumps(row), flush=True)
    way = cold()
    for row in way:
        print("to T = 0", json.dumps(row), flush=True)
    versions = {"jax": jax.__version__, "mdsens": ms.__version__}
    options.path.write_text(
        json.dumps({"speed": fast, "errors": known, "cold": way, "versions": versions}, indent=1)
    )


if __name__ == "__main__":
    main()
