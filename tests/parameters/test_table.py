"""A table is its values with their names, through arithmetic and JAX alike."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdsens.potentials  # noqa: F401  (makes Table a pytree)
from mdsens.errors import InputError
from mdsens.parameters import Table, index_matrix, split_pair

KEYS = ("Ar-Ar", "Kr-Ar", "Kr-Kr")
VALUES = np.array([1.0, 2.0, 4.0])
OTHER = Table(np.array([3.0, 5.0, 7.0]), KEYS)


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (lambda t: 2.0 * t, 2 * VALUES),
        (lambda t: np.float64(2.0) * t, 2 * VALUES),
        (lambda t: jnp.asarray(2.0) * t, 2 * VALUES),
        (lambda t: np.arange(3.0) + t, np.arange(3) + VALUES),
        (lambda t: t * 2, 2 * VALUES),
        (lambda t: t + 1, VALUES + 1),
        (lambda t: 1 + t, VALUES + 1),
        (lambda t: t - 1, VALUES - 1),
        (lambda t: 1 - t, 1 - VALUES),
        (lambda t: np.float64(1) - t, 1 - VALUES),
        (lambda t: t / 2, VALUES / 2),
        (lambda t: 2 / t, 2 / VALUES),
        (lambda t: -t, -VALUES),
        (lambda t: t**2, VALUES**2),
        (lambda t: t + OTHER, VALUES + OTHER.values),
        (lambda t: t - 0.1 * OTHER, VALUES - 0.1 * OTHER.values),
        (lambda t: t * OTHER, VALUES * OTHER.values),
        (lambda t: t / OTHER, VALUES / OTHER.values),
    ],
)
def test_arithmetic_keeps_the_keys(operation, expected, array):
    found = operation(Table(array(VALUES), KEYS))
    assert isinstance(found, Table) and found.keys == KEYS
    np.testing.assert_allclose(found.values, expected)


def test_other_keys_are_not_added_by_position():
    swapped = Table(VALUES, KEYS[::-1])
    with pytest.raises(InputError, match=r"Ar-Ar.*Kr-Kr"):
        OTHER + swapped


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_looks_like_its_values(array):
    table = Table(array(VALUES), KEYS)
    assert table.shape == (3,) and len(table) == 3
    assert np.array_equal(np.asarray(table), VALUES)
    assert np.asarray(table, dtype=np.float32).dtype == np.float32
    assert table["Kr-Ar"] == table[1] == 2.0
    assert [float(v) for v in table] == VALUES.tolist()
    with pytest.raises(ValueError, match="not in tuple"):
        table["Ar-Xe"]


def test_derivatives_are_tables():
    params = {"epsilon": Table(jnp.asarray(VALUES), KEYS), "sigma": jnp.asarray(2.0)}

    def f(p):
        return jnp.sum(p["epsilon"].values ** 2) * p["sigma"]

    slope = jax.grad(f)(params)
    assert slope["epsilon"].keys == KEYS
    np.testing.assert_allclose(slope["epsilon"].values, 4 * VALUES)
    stepped = jax.tree.map(lambda a, b: a - 0.1 * b, params, slope)
    assert stepped["epsilon"].keys == KEYS
    np.testing.assert_allclose(stepped["epsilon"].values, 0.6 * VALUES)
    curvature = jax.hessian(f)(params)["epsilon"].values["epsilon"].values
    np.testing.assert_allclose(curvature, 4 * np.eye(3))
    batch = jax.vmap(f)({"epsilon": Table(jnp.ones((5, 3)), KEYS), "sigma": jnp.ones(5)})
    assert batch.shape == (5,)


def test_index_matrix_is_symmetric():
    types = ("Ar", "Kr", "Xe")
    assert index_matrix(KEYS, types).tolist() == [[0, 1, -1], [1, 2, -1], [-1, -1, -1]]
    assert index_matrix(("Kr", "Ar", "Xe"), types) is None


def test_names_may_contain_hyphens():
    types = ("C-sp2", "C-sp3", "H")
    assert split_pair("C-sp2-C-sp3", types) == ("C-sp2", "C-sp3")
    assert split_pair("H-C-sp3", types) == ("H", "C-sp3")
    with pytest.raises(InputError, match=r'"H-O" names no .* species are C-sp2, C-sp3, H'):
        split_pair("H-O", types)
