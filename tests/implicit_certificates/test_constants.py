"""alpha, R, gamma and beta against dense algebra and closed forms."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from mdsens.implicit.certificates import inverse
from mdsens.implicit.certificates.constants import lipschitz, response_norm
from mdsens.implicit.certificates.equation import Equation
from mdsens.linear import Projector

N, P = 30, 4
RNG = np.random.default_rng(5)
ROTATION, OTHER = (np.linalg.qr(RNG.normal(size=(N, N)))[0] for _ in range(2))
VALUES = np.r_[np.linspace(-3, -1, 14), -0.02, 0.05, np.linspace(1, 2, 14)]
RESPONSE = RNG.normal(size=(N, P))


def linear(matrix, x, theta):
    return matrix @ x - RESPONSE @ theta


def equation_of(force, symmetric: bool, modes: np.ndarray | None = None) -> Equation:
    basis = np.zeros((N, 0)) if modes is None else modes
    projector = Projector(jnp.ones(N), jnp.asarray(basis))
    return Equation(force, jnp.ones(P), projector, symmetric)


class Case(NamedTuple):
    matrix: np.ndarray
    symmetric: bool
    modes: np.ndarray | None
    smallest: float
    largest: float

    @property
    def equation(self) -> Equation:
        force = Partial(linear, jnp.asarray(self.matrix))
        return equation_of(force, self.symmetric, self.modes)


SINGULAR = np.r_[0, 0, np.linspace(1, 2, N - 2)]
CASES = {
    "inside an indefinite spectrum": Case((ROTATION * VALUES) @ ROTATION.T, True, None, 0.02, 3.0),
    "unsymmetric": Case((ROTATION * VALUES) @ OTHER, False, None, 0.02, 3.0),
    "off the null space": Case((ROTATION * SINGULAR) @ ROTATION.T, True, ROTATION[:, :2], 1.0, 2.0),
}


@pytest.mark.parametrize("route", ["spectrum", "elimination", "products"])
@pytest.mark.parametrize("kind", CASES)
def test_extreme_singular_values(kind: str, route: str, monkeypatch: pytest.MonkeyPatch):
    if route != "spectrum":
        monkeypatch.setattr(inverse, "_SPECTRUM", 0)
    if route == "products":
        monkeypatch.setattr(inverse, "_DENSE", 0)
    case = CASES[kind]
    found = inverse.invert(case.equation, jnp.zeros(N))
    assert found.values.accuracy <= 1e-2
    allowed = max(found.values.accuracy, 1e-9)
    np.testing.assert_allclose(found.values.smallest, case.smallest, rtol=allowed)
    np.testing.assert_allclose(found.values.largest, case.largest, rtol=1e-2)
    b, pseudo = RNG.normal(size=N), np.linalg.pinv(case.matrix, rcond=1e-10)
    np.testing.assert_allclose(found.apply(jnp.asarray(b)), pseudo @ b, atol=1e-7)
    np.testing.assert_allclose(found.apply_transposed(jnp.asarray(b)), pseudo.T @ b, atol=1e-7)


def test_a_solve_that_fails_leaves_the_smallest_unknown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inverse, "_DENSE", 0)
    undeclared = CASES["off the null space"]._replace(modes=None)
    values = inverse.invert(undeclared.equation, jnp.zeros(N)).values
    assert np.isnan(values.smallest) and "failed" in values.method
    np.testing.assert_allclose(values.largest, 2.0, rtol=1e-2)


def test_a_matrix_that_is_not_finite_has_no_singular_values():
    broken = CASES["unsymmetric"]._replace(matrix=np.full((N, N), np.inf))
    assert np.isnan(inverse.invert(broken.equation, jnp.zeros(N)).values.smallest)


def test_response_norm():
    found = response_norm(CASES["unsymmetric"].equation, jnp.zeros(N))
    np.testing.assert_allclose(found, np.linalg.norm(RESPONSE, 2), rtol=1e-6)


FIRST, SECOND = RNG.normal(size=(2, N))
WEIGHTS = RNG.normal(size=P)


def curved(x, theta):
    """F_xx[d, v] = 2 a (b d) (b v), F_xtheta[d, t] = a (c d) (w t): rank one, norms by hand."""
    bend = jnp.asarray(FIRST) * (jnp.asarray(SECOND) @ x) ** 2
    mixed = jnp.asarray(FIRST) * (jnp.asarray(ROTATION[:, 0]) @ x) * (jnp.asarray(WEIGHTS) @ theta)
    return x + bend + mixed


def kinked(x, theta):
    """A jumps by 1 in one direction where x_0 changes sign."""
    return 3.0 * x + jnp.maximum(x, 0.0) - jnp.asarray(RESPONSE) @ theta


def test_lipschitz_constants():
    step = jnp.asarray(1e-3 * RNG.normal(size=N))
    gamma, beta = lipschitz(equation_of(Partial(curved), False), jnp.ones(N), step, 1.0, 1.0)
    a = np.linalg.norm(FIRST)
    np.testing.assert_allclose(gamma, 2 * a * np.linalg.norm(SECOND) ** 2, rtol=1e-6)
    np.testing.assert_allclose(beta, a * np.linalg.norm(WEIGHTS), rtol=1e-6)


def test_a_kink_on_the_way_counts():
    equation = equation_of(Partial(kinked), True)
    x, step = jnp.full(N, 1.0).at[0].set(1e-3), jnp.zeros(N).at[0].set(-2e-3)
    gamma, beta = lipschitz(equation, x, step, 4.0, 1.0)
    np.testing.assert_allclose(gamma, 1 / 2e-3, rtol=1e-6)
    assert beta == 0.0
    gamma, _ = lipschitz(equation, x, 0.1 * step, 4.0, 1.0)
    assert gamma == 0.0
