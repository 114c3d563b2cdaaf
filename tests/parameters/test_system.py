"""Configurations: their geometry, what is refused, particles in one place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mdsens.errors import InputError
from mdsens.system import coincident_pair, complete_cell, heights, validate, volume
from tests.examples import make

CELL = np.array([[3.0, 0.2, -0.3], [1.1, 2.8, 0.1], [-0.7, 0.9, 3.2]])


def test_heights_and_volume():
    normal = np.cross(CELL[1], CELL[2])
    assert np.isclose(heights(CELL)[0], abs(CELL[0] @ normal) / np.linalg.norm(normal))
    assert np.isclose(volume(CELL), CELL[0] @ normal)
    assert np.isclose(volume(CELL[::-1]), CELL[0] @ normal)
    np.testing.assert_allclose(heights(np.array([[2.0, 0.0], [7.0, 1.0]])), [2 / np.sqrt(50), 1.0])


def test_types_are_sorted_names():
    system = make(np.eye(3), np.eye(3), (True,) * 3, ["Kr", "Ar", "Kr"])
    assert system.type_names == ("Ar", "Kr") and system.types.tolist() == [1, 0, 1]
    assert system.n_particles == 3 and system.dimension == 3


def test_a_changed_copy_leaves_the_rest():
    system = make(np.eye(2), np.eye(2), (True, True), radius=[1.0, 2.0])
    moved = system.with_positions(np.ones((2, 2))).with_cell(2 * np.eye(2))
    assert moved.columns is system.columns and np.all(system.positions == np.eye(2))
    assert np.all(moved.cell == 2 * np.eye(2)) and np.all(moved.positions == 1.0)


@pytest.mark.parametrize("pbc", [(True,) * 3, (True, True, False), (False,) * 3])
def test_sound_systems_pass(pbc):
    system = make(np.random.default_rng(0).random((4, 3)), CELL, pbc)
    assert validate(system) is system


def nan_at(k: int) -> np.ndarray:
    positions = np.arange(12.0).reshape(4, 3)
    positions[k, 1] = np.nan
    return positions


X = np.arange(12.0).reshape(4, 3)
FAULTS = [
    ({"positions": X[:3]}, r"positions \(3, 3\) and cell \(3, 3\) do not fit 4 particles in 3"),
    ({"positions": X[:, :2]}, r"positions \(4, 2\)"),
    ({"cell": np.eye(2)}, r"cell \(2, 2\)"),
    ({"positions": nan_at(2)}, r"particle 2: position .*nan.* is not finite"),
    ({"positions": X / 0.0 if False else np.where(X == 4, np.inf, X)}, r"particle 1: .*inf.*"),
    ({"cell": np.diag([1.0, np.nan, 1.0])}, r"cell: .*nan.* is not finite"),
    ({"cell": np.zeros((3, 3))}, "cell: zero volume"),
    ({"cell": np.diag([1.0, 0.0, 1.0])}, "cell: zero volume"),
    ({"cell": np.array([[1.0, 0, 0], [1, 1e-13, 0], [0, 0, 1]])}, "cell: zero volume"),
    ({"cell": np.diag([1.0, -1.0, 1.0])}, "cell: left-handed.*swap two"),
    ({"species": (), "fixed": (), "positions": X[:0]}, "no particles"),
]


@pytest.mark.parametrize(("fault", "words"), FAULTS)
def test_faults_are_named(fault, words: str):
    system = replace(make(X, CELL, (True,) * 3), source="argon.xyz", **fault)
    with pytest.raises(InputError, match=words) as caught:
        validate(system)
    assert str(caught.value).startswith("argon.xyz: ")


def test_free_clusters_need_no_cell():
    validate(make(X, np.zeros((3, 3)), (False,) * 3))


def test_small_and_large_cells_are_no_fault():
    for scale in (1e-12, 1e12):
        validate(make(scale * X, scale * CELL, (True,) * 3))


@pytest.mark.parametrize(
    "pbc",
    [(False,) * 3, (True, False, False), (False, True, False), (True, False, True), (True,) * 3],
)
def test_complete_cell(pbc):
    cell = np.where(np.array(pbc)[:, None], CELL, 0.0)
    full = complete_cell(cell, pbc)
    periodic = np.array(pbc)
    assert np.array_equal(full[periodic], cell[periodic])
    if not all(pbc):
        assert np.linalg.det(full) > 0
    free = full[~periodic]
    np.testing.assert_allclose(free @ free.T, np.eye(len(free)), atol=1e-14)
    np.testing.assert_allclose(free @ full[periodic].T, 0.0, atol=1e-14)


def placed(positions, pbc, cell=CELL):
    return make(np.asarray(positions, float), cell, pbc)


APART = np.array([[0.1, 0.2, 0.3], [1.0, 1.1, 0.9], [2.0, 0.4, 1.7], [0.5, 2.0, 2.2]])


@pytest.mark.parametrize("pbc", [(True,) * 3, (True, False, True), (False,) * 3])
def test_particles_apart(pbc):
    assert coincident_pair(placed(APART, pbc)) is None
    assert coincident_pair(placed(APART[:1], pbc)) is None


@pytest.mark.parametrize("pbc", [(True,) * 3, (True, False, True), (False,) * 3])
def test_particles_in_one_place(pbc):
    assert coincident_pair(placed(np.vstack([APART, APART[1]]), pbc)) == (1, 4)
    assert coincident_pair(placed(np.vstack([APART, APART[2] * (1 + 1e-16)]), pbc)) == (2, 4)


@pytest.mark.parametrize("image", [(1, 0, 0), (-2, 0, 3), (0, 0, -1)])
def test_images_in_one_place(image):
    twin = np.vstack([APART, APART[1] + np.array(image) @ CELL])
    assert coincident_pair(placed(twin, (True,) * 3)) == (1, 4)
    assert coincident_pair(placed(twin, (True, False, True))) == (1, 4)
    assert coincident_pair(placed(twin, (False,) * 3)) is None


def test_no_image_in_a_free_direction():
    twin = np.vstack([APART, APART[1] + CELL[1]])
    assert coincident_pair(placed(twin, (True, False, True))) is None
    assert coincident_pair(placed(twin, (True,) * 3)) == (1, 4)


def test_images_across_a_face():
    positions = [[0.0, 0.5], [2.0, 0.5], [1.0, 1.0]]
    assert coincident_pair(placed(positions, (True, True), 2 * np.eye(2))) == (0, 1)
    positions = [[-1e-17, 0.5], [2.0, 0.5], [1.0, 1.0]]
    assert coincident_pair(placed(positions, (True, True), 2 * np.eye(2))) == (0, 1)


def test_slabs_whose_files_give_no_third_vector():
    flat = np.diag([3.0, 3.0, 0.0])
    twin = np.vstack([APART, APART[0] + [3.0, 0.0, 0.0]])
    assert coincident_pair(placed(twin, (True, True, False), flat)) == (0, 4)
    assert coincident_pair(placed(APART, (True, True, False), flat)) is None


def test_all_in_one_place_is_found_quickly():
    assert coincident_pair(placed(np.ones((5000, 3)), (True,) * 3)) is not None


@pytest.mark.parametrize("scale", [1e-10, 1e10])
def test_the_unit_of_length_does_not_matter(scale: float):
    twin = np.vstack([APART, APART[1] + CELL[0]])
    assert coincident_pair(placed(scale * twin, (True,) * 3, scale * CELL)) == (1, 4)
    assert coincident_pair(placed(scale * APART, (True,) * 3, scale * CELL)) is None
    assert coincident_pair(placed(scale * APART, (False,) * 3)) is None
