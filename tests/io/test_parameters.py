"""Parameters written as LAMMPS files come back bit by bit, and mean the same to LAMMPS."""

from __future__ import annotations

import numpy as np
import pytest

import mdsens as ms
from mdsens.errors import InputError
from tests.examples import make
from tests.potentials.by_lammps import by_lammps, needs_lammps
from tests.potentials.crystals import crystals
from tests.potentials.test_embedded import KINDS as EMBEDDED
from tests.potentials.test_embedded import SYSTEM as ALLOY

ANGLES = ("sw, two species", "tersoff, two species", "edip, silicon")


def entries(value) -> dict[str, np.ndarray]:
    keys = getattr(value, "keys", ("",))
    return dict(zip(keys, np.atleast_1d(np.asarray(value)), strict=True))


def same(a, b) -> None:
    assert a.keys() == b.keys()
    for name in a:
        one, other = entries(a[name]), entries(b[name])
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("name", ANGLES)
def test_potentials_with_angles(name: str, tmp_path):
    c, file = crystals()[name], tmp_path / "fitted"
    # As after a fit: numbers with all their digits.
    fitted = {k: v if k == "m" else v * (1.0 + 1e-3 * np.pi) for k, v in c.params.items()}
    ms.write_parameters(c.potential, fitted, c.system, file)
    read = c.potential.parameters(c.system, file=file)
    if c.system.n_particles == 8 and len(c.system.type_names) == 2:
        # What was one number for all is a table in a file of two elements.
        read = {k: v if np.ndim(fitted[k]) else v.values[0] for k, v in read.items()}
    same(fitted, read)


@pytest.mark.parametrize("suffix", ["eam.alloy", "eam.fs"])
def test_tables_of_embedded_atoms(suffix: str, tmp_path):
    potential, file = ms.potentials.EAM(), tmp_path / f"fitted.{suffix}"
    given = dict(EMBEDDED["eam, fs"].given)
    if suffix == "eam.alloy":
        given["density"] = {a: given["density"][f"{a}-Cu"] for a in ("Cu", "Ni")}
    params = potential.parameters(ALLOY, **given)
    fitted = {k: v * (1.0 + 1e-3 * np.pi) for k, v in params.items()}
    ms.write_parameters(potential, fitted, ALLOY, file)
    same(fitted, potential.parameters(ALLOY, file=file))


@needs_lammps
def test_lammps_reads_what_was_written(tmp_path):
    potential, file = ms.potentials.EAM(), tmp_path / "fitted.eam.fs"
    params = EMBEDDED["eam, fs"].params
    ms.write_parameters(potential, params, ALLOY, file)
    answer = by_lammps(ALLOY, "eam/fs", f"* * {file} {{elements}}")
    np.testing.assert_allclose(ms.energy(potential, params, ALLOY), answer.energy, rtol=1e-9)


def test_what_has_no_file(tmp_path):
    pair = make([[0.0, 0, 0], [1.0, 0, 0]], np.eye(3), (False,) * 3)
    morse, file = ms.potentials.Morse(), tmp_path / "no"
    params = morse.parameters(pair, D0=1.0, alpha=1.0, r0=1.0, cutoff=2.0)
    with pytest.raises(InputError, match="no file of parameters"):
        ms.write_parameters(morse, params, pair, file)
    c = crystals()["edip, silicon"]
    x, h, n = c.system.positions, c.system.cell, c.system.n_particles
    reduced = make(x, h, (True,) * 3, ["Si"] * n)
    with pytest.raises(InputError, match="metal units only"):
        ms.write_parameters(c.potential, c.params, reduced, file)
    assert not file.exists()
