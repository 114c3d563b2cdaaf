"""Labels of structures, as files have them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mdsens.errors import InputError
from mdsens.fitting import Labelled
from mdsens.io.labelled import labels_of, read_labelled
from mdsens.io.structures import from_atoms, read_frames

CUBE = 'Lattice="4 0 0 0 5 0 0 0 6" pbc="T T T"'
VIRIAL = 'virial="60 6 12 6 120 18 12 18 180"'


def written(folder, *heads: str):
    """One atom per frame."""
    path = folder / "x.extxyz"
    frames = [f"1\n{h} Properties=species:S:1:pos:R:3\nAr 1 2 3" for h in heads]
    path.write_text("\n".join(frames) + "\n")
    return path


def test_a_virial_is_a_stress(tmp_path):
    path = written(tmp_path, f"{CUBE} {VIRIAL}", f"{CUBE} {VIRIAL}".replace("T T T", "T T F"))
    (_, flat), (bulk, plane) = read_labelled(path)
    np.testing.assert_allclose(
        bulk.stress, -np.array([[60, 6, 12], [6, 120, 18], [12, 18, 180]]) / 120
    )
    # One plane of atoms is of two dimensions, and its virial one per area.
    assert flat.dimension == 2
    np.testing.assert_allclose(plane.stress, -np.array([[60, 6], [6, 120]]) / 20)


@pytest.mark.parametrize("head", ['pbc="F F F"', CUBE.replace("T T T", "T F T")])
def test_a_virial_without_a_volume_is_no_stress(tmp_path, head):
    path = written(tmp_path, f"{CUBE} {VIRIAL}", f"{head} energy=-1.0 {VIRIAL}")
    systems, labels = read_labelled(path)
    assert labels[1].energy == -1.0 and np.isnan(labels[1].stress).all()
    assert len(Labelled("x", systems, labels).wanted) == 1
    with pytest.raises(InputError, match="x: structure 1: stress: has no meaning"):
        Labelled("x", systems, labels, stress=0.1)


def test_an_energy_that_is_no_number_is_named(tmp_path, told):
    path = written(tmp_path, CUBE + " energy=-1.0", CUBE + " energy=abc")
    sentence = told(InputError, lambda: read_labelled(path))
    assert sentence == f'{path}[1]: energy: "abc" is no number; correct the file'


@pytest.mark.parametrize(
    "name, values, sentence",
    [
        ("energy", [1.0, 2.0], "2 numbers where 1 should be"),
        ("forces", np.zeros((2, 3)), "6 numbers where 3 should be"),
        ("forces", ["a", "b", "c"], ".* is no number"),
        ("stress", np.zeros(5), "5 numbers where 9 should be"),
        ("virial", np.zeros(8), "8 numbers where 9 should be"),
    ],
)
def test_labels_of_another_form_are_named(tmp_path, name, values, sentence):
    (atoms,) = read_frames(written(tmp_path, CUBE))
    system = from_atoms(atoms, source="x[0]")
    atoms.info[name] = values
    with pytest.raises(InputError, match=rf"x\[0\]: {name}: {sentence}; correct the file"):
        labels_of(atoms, system)


def test_numbers_of_pymatgen_that_are_none(tmp_path):
    site = {"species": [{"element": "Si", "occu": 1}], "abc": [0.5, 0.5, 0.5]}
    structure = {"lattice": {"matrix": (4 * np.eye(3)).tolist()}, "sites": [site]}
    rows = [{"structure": structure, "outputs": {"energy": e}} for e in (-1.0, np.nan)]
    (tmp_path / "x.json").write_text(json.dumps(rows))
    with pytest.raises(InputError, match="x: structure 1: energy: not finite"):
        Labelled("x", *read_labelled(tmp_path / "x.json"))
