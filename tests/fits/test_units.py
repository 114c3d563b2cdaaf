"""Units of what is wanted: those of the system, in space and in the plane."""

from __future__ import annotations

import json
from pathlib import Path

import ase
import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from mdsens.errors import InputError
from mdsens.fits.job import prepare
from mdsens.io.fits import read_fit
from tests.fits.conftest import FIT

PLANE = {"C11": "modulus", "pressure": "modulus", "volume_per_atom": "volume"}


def written(structure: ase.Atoms, property: str, units: str | None, more: str = "") -> Path:
    write("x.extxyz", structure)
    given = "" if units is None else f', units = "{units}"'
    Path("fit.toml").write_text(
        f'{FIT.partition("[[data]]")[0]}[[crystal]]\nstructure = "x.extxyz"\n'
        f'want = [{{property = "{property}", value = 1.0, sigma = 0.1{given}{more}}}]\n'
    )
    return Path("fit.toml")


def reduced() -> ase.Atoms:
    atoms = bulk("Ar", "fcc", 5.3, cubic=True)
    atoms.info["units"] = "reduced"
    return atoms


def plane(a: float = 3.7) -> ase.Atoms:
    """A hexagonal lattice, two atoms in a rectangle."""
    return ase.Atoms("Ar2", [[0, 0, 0], [a / 2, a * 0.75**0.5, 0]],
                     cell=[a, a * 3**0.5, 10.0], pbc=(True, True, False))  # fmt: skip


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "property, units", [("a", "angstrom"), ("C11", "GPa"), ("energy_per_atom", "eV")]
)
def test_reduced_numbers_have_no_unit(property, units):
    for none in (None, "reduced"):
        (target,) = prepare(written(reduced(), property, none)).targets
        assert (target.readings[0].units, target.readings[0].scale) == ("reduced", 1.0)
    sentence = f'crystal.0.want.0.units: "{units}" means nothing in reduced units; leave it out'
    with pytest.raises(InputError, match=sentence):
        prepare(written(reduced(), property, units))


def test_angles_have_units_everywhere():
    atoms = ", atoms = [0, 1, 2]"
    (target,) = prepare(written(reduced(), "angle", "rad", atoms)).targets
    assert target.readings[0].units == "rad"
    with pytest.raises(InputError, match='"GPa" is no unit of'):
        prepare(written(reduced(), "angle", "GPa", atoms))


@pytest.mark.parametrize("property, wrong", [("C11", "GPa"), ("pressure", "eV/angstrom^3"),
                                             ("volume_per_atom", "angstrom^3")])  # fmt: skip
def test_units_of_space_in_the_plane(property, wrong):
    with pytest.raises(InputError, match=f"is no unit of a {PLANE[property]} in 2D; allowed: "):
        prepare(written(plane(), property, wrong))
    with pytest.raises(InputError, match=f"units: missing; allowed for a {PLANE[property]} in 2D"):
        prepare(written(plane(), property, None))


def test_units_of_the_plane(mdsens):
    """The same modulus in two units, and the area per atom of a free hexagonal lattice."""
    path = written(plane(), "C11", "N/m")
    first = '{property = "C11", value = 1.0, sigma = 0.1, units = "N/m"}'
    text = path.read_text()
    assert first in text
    others = (
        '{property = "C11", value = 1.0, sigma = 0.1, units = "eV/angstrom^2"}',
        '{property = "volume_per_atom", value = 12.0, sigma = 0.1, units = "angstrom^2"}',
        '{property = "volume_per_atom", value = 0.12, sigma = 0.1, units = "nm^2"}',
        '{property = "a", value = 3.7, sigma = 0.1, units = "angstrom"}',
    )
    path.write_text(text.replace(first, ", ".join((first, *others))))
    assert mdsens("fit", "fit.toml", "--set", "fit.max_iterations=1").code in (0, 3)
    (target,) = read_fit(Path("fit.h5")).targets
    newton, ev, area, nano, a = target.start
    np.testing.assert_allclose(newton, 16.02176634 * ev, rtol=1e-9)
    np.testing.assert_allclose(area, 100.0 * nano, rtol=1e-12)
    np.testing.assert_allclose(area, a**2 * 0.75**0.5, rtol=1e-6)


def test_the_same_number_in_two_units_as_json(mdsens):
    others = (
        '{property = "a", value = 5.3, sigma = 0.1, units = "angstrom"}',
        '{property = "energy_per_atom", value = -80.0, sigma = 1.0, units = "meV"}',
    )
    path = written(bulk("Ar", "fcc", 5.3, cubic=True), "a", "nm")
    path.write_text(path.read_text().replace("want = [", f"want = [{', '.join(others)}, "))
    assert mdsens("fit", "fit.toml", "--set", "fit.max_iterations=1").code in (0, 3)
    wants = json.loads(mdsens("show", "fit.h5", "--json").out)["targets"]["x"]
    units = {"a": "angstrom", "energy_per_atom": "meV", "a (2)": "nm"}
    assert {key: want["units"] for key, want in wants.items()} == units
    np.testing.assert_allclose(wants["a"]["start"], 10.0 * wants["a (2)"]["start"], rtol=1e-12)


def test_what_a_stress_in_the_plane_is_told_in(mdsens):
    frame = plane(3.9)
    frame.info |= {"energy": -0.05, "virial": np.eye(3)}
    write("x.extxyz", frame)
    text = FIT.replace("md.extxyz", "x.extxyz").replace("forces = 0.01", "stress = 0.1")
    Path("fit.toml").write_text(text)
    assert mdsens("fit", "fit.toml", "--set", "fit.max_iterations=1").code in (0, 3)
    (target,) = read_fit(Path("fit.h5")).targets
    assert target.units == ("eV/atom", *3 * ("eV/angstrom^2",))
