"""The bottom of the spectrum, by every route."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.linear import (
    Operator,
    Projector,
    SparseDirect,
    largest_curvature,
    lowest_eigenvalues,
    spectrum,
)
from mdsens.linear.lanczos import smallest_eigenvalue
from tests.linear.systems import Case, network, with_spectrum

CASES = {
    "definite": network(8, 9),
    "few negative": network(8, 9, stress=0.02),
    "many negative": network(8, 9, stress=0.3),
    "degenerate": with_spectrum(np.concatenate([[0.01] * 4, np.linspace(0.1, 5, 60)])),
    "clustered": with_spectrum(
        np.concatenate([[0.01, 0.0100001, 0.0101], np.linspace(0.02, 5, 61)])
    ),
}


def expected_of(case: Case) -> np.ndarray:
    values = np.linalg.eigvalsh(case.matrix)
    return np.delete(values, np.argsort(np.abs(values))[: case.projector.basis.shape[1]])


@pytest.mark.parametrize("route", ["full", "factor", "matrix", "products"])
@pytest.mark.parametrize("kind", CASES)
def test_lowest_eigenvalues(kind: str, route: str, monkeypatch: pytest.MonkeyPatch):
    case = CASES[kind]
    operator = case.operator
    if route != "full":
        monkeypatch.setattr(spectrum, "_DENSE", 0)
    if route == "products":
        operator = Operator(operator.matvec, operator.size, operator.blocks)
    factor = None
    if route == "factor":
        factor = SparseDirect().factorize(case.matrix, case.projector)
    found = lowest_eigenvalues(operator, case.projector, 4, factor)
    expected = expected_of(case)
    np.testing.assert_allclose(found.values, expected[:4], rtol=1e-4)
    if found.exact:
        assert found.negative == np.sum(expected < 0)
    else:
        assert found.negative == 4 < np.sum(expected < 0)
    assert found.exact or route in ("matrix", "products")


def test_nothing_left_to_ask():
    everything = Projector(jnp.zeros(4), jnp.zeros((4, 0)))
    found = lowest_eigenvalues(Operator(lambda x: x, 4), everything, 2)
    assert found.values.size == 0 and found.negative == 0


def test_no_more_than_there_are():
    case = with_spectrum(np.array([1.0, 2.0]))
    found = lowest_eigenvalues(case.operator, case.projector, 5)
    np.testing.assert_allclose(found.values, [1.0, 2.0])


@pytest.mark.parametrize("kind", ["definite", "many negative"])
def test_largest_curvature_is_an_upper_estimate(kind: str):
    case = CASES[kind]
    a = jnp.asarray(case.matrix)
    exact = np.max(np.abs(np.linalg.eigvalsh(case.matrix)))
    found = jax.jit(lambda m: largest_curvature(lambda x: m @ x, len(m)))(a)
    assert exact * (1 - 1e-3) <= found <= 1.05 * exact


def test_largest_curvature_of_low_rank(rng: np.random.Generator):
    """The Krylov space is exhausted after four products; what follows is rounding."""
    few = jnp.asarray(rng.normal(size=(30, 3)))
    found = largest_curvature(lambda x: few @ (few.T @ x), 30)
    np.testing.assert_allclose(found, np.linalg.norm(few, 2) ** 2, rtol=1e-9)


def test_largest_curvature_of_a_tiny_or_zero_matrix():
    assert np.isclose(largest_curvature(lambda x: -3.0 * x, 1), 3.0)
    assert largest_curvature(lambda x: 0.0 * x, 5) == 0.0


@pytest.mark.parametrize("route", ["factor", "matrix", "products"])
@pytest.mark.parametrize("kind", CASES)
def test_the_lowest_alone(kind: str, route: str, monkeypatch: pytest.MonkeyPatch):
    case = CASES[kind]
    monkeypatch.setattr(spectrum, "_DENSE", 0)
    operator = (
        case.operator if route != "products" else Operator(case.operator.matvec, len(case.matrix))
    )
    factor = SparseDirect().factorize(case.matrix, case.projector) if route == "factor" else None
    found = lowest_eigenvalues(operator, case.projector, 1, factor, tol=1e-3)
    expected = expected_of(case)
    np.testing.assert_allclose(found.values, expected[:1], rtol=1e-3)
    assert np.min(np.abs(expected / found.values - 1.0)) <= found.accuracy + 1e-12
    assert found.negative == (np.sum(expected < 0) if found.exact else 1)


def test_lanczos_tells_zero_from_small():
    """A zero mode that nobody projected out comes out as zero, soon."""
    case = with_spectrum(np.linspace(0.1, 5, 60), null=1)
    start = np.random.default_rng(0).normal(size=61)
    value, _ = smallest_eigenvalue(lambda x: case.matrix @ x, lambda x: x, start, 1e-3)
    assert abs(value) < 1e-10
