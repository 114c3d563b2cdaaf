"""Metals from a RUN.toml: tables from a file, published values."""

from __future__ import annotations

import h5py
import pytest

from mdsens.parameter_files import write_setfl
from tests.potentials.test_embedded import functions_of_two

ATOMS = """4
Lattice="3.6 0 0 0 3.6 0 0 0 3.6" Properties=species:S:1:pos:R:3 pbc="T T T"
Ni 0.02 0 0
Cu 0 1.8 1.8
Cu 1.8 0.01 1.8
Cu 1.8 1.8 0
"""
RUN = """
[system]
structure = "metal.extxyz"
[potential]
kind = "{kind}"
{more}
[sensitivity]
observables = ["energy"]
wrt = {wrt}
"""


@pytest.fixture
def metal(tmp_path):
    """`metal(kind, more, wrt)`: the name of a RUN.toml beside a structure and a file of tables."""
    (tmp_path / "metal.extxyz").write_text(ATOMS)
    write_setfl(tmp_path / "CuNi.eam.fs", functions_of_two())

    def written(kind: str, more: str, wrt: str = "[]") -> str:
        (tmp_path / "run.toml").write_text(RUN.format(kind=kind, more=more, wrt=wrt))
        return "run.toml"

    return written


def test_check(mdsens, metal):
    told = mdsens("check", metal("eam", 'file = "CuNi.eam.fs"', '["pair"]'))
    assert told.code == 0 and "Cu-Cu, Cu-Ni, Ni-Ni: 31 knots" in told.out
    told = mdsens("check", metal("eam_zhou", "parameters = { kappa = { Cu = 0.31 } }"))
    assert told.code == 0 and "Cu 0.31, Ni 0.443599" in told.out


def test_faults_are_one_line(refused, metal, tmp_path):
    assert "embedding: missing; name a file that has it" in refused(2, "check", metal("eam", ""))
    run = metal("eam", 'file = "CuNi.eam.fs"')
    text = (tmp_path / "CuNi.eam.fs").read_text().splitlines()
    text[10] = "what"
    (tmp_path / "CuNi.eam.fs").write_text("\n".join(text))
    assert "CuNi.eam.fs: line 11: 'what' is not a finite number" in refused(2, "check", run)


@pytest.mark.slow
def test_run(mdsens, metal, tmp_path):
    told = mdsens("run", metal("eam", 'file = "CuNi.eam.fs"', '["pair"]'))
    assert told.code == 0 and "d energy / d pair" in told.out
    with h5py.File(tmp_path / "run.h5") as file:
        # r phi / r of every pair: the energy is linear in these knots.
        slopes, knots = file["sensitivity/energy/pair"], file["parameters/pair"]
        assert slopes.shape == knots.shape == (3, 31)
        assert [str(k) for k in slopes.attrs["keys"]] == ["Cu-Cu", "Cu-Ni", "Ni-Ni"]
        assert slopes.attrs["units"] == "1/angstrom" and knots.attrs["units"] == "eV*angstrom"
