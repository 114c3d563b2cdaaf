"""Proximal operators against the minimisation that defines them, and at their kinks."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from mdsens.errors import InputError
from mdsens.implicit.optimality import proximal

STEP = 0.7
VECTOR = jnp.array([1.3, -0.2, -2.1])
MATRIX = jnp.array([[1.3, -0.2, 0.4], [0.5, 0.9, -1.1]])


class Case(NamedTuple):
    """An operator, the penalty function it belongs to, and where to try it."""

    prox: Callable[..., jax.Array]
    penalty: Callable[[np.ndarray, Any], Any]
    x: jax.Array
    theta: Any


CASES = {
    "l1": Case(proximal.l1, lambda y, t: np.sum(t * abs(y)), VECTOR, jnp.array([0.5, 0.9, 1.1])),
    "squared l2": Case(proximal.squared_l2, lambda y, t: t * np.sum(y**2) / 2, VECTOR, 0.8),
    "elastic net": Case(
        proximal.elastic_net,
        lambda y, t: t[0] * np.sum(abs(y)) + t[1] * np.sum(y**2) / 2,
        VECTOR,
        (0.6, 0.8),
    ),
    "group lasso": Case(
        proximal.group_lasso, lambda y, t: t * np.linalg.norm(y), VECTOR, jnp.asarray(1.2)
    ),
    "group lasso, all zero": Case(
        proximal.group_lasso, lambda y, t: t * np.linalg.norm(y), VECTOR, jnp.asarray(4.0)
    ),
}
EACH = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@EACH
def test_minimises(case: Case):
    x = np.asarray(case.x)

    def objective(y):
        return 0.5 * np.sum((y - x) ** 2) + STEP * case.penalty(y, case.theta)

    best, options = x, {"xatol": 1e-10, "fatol": 1e-16, "maxiter": 2000}
    for _ in range(3):  # restarted, because a simplex may collapse at a kink
        best = minimize(objective, best, method="Nelder-Mead", options=options).x
    np.testing.assert_allclose(case.prox(case.x, case.theta, STEP), best, atol=2e-7)


@pytest.mark.parametrize("penalty", [0.3, 1.1])
def test_nuclear_norm_minimises(penalty: float):
    # |Y|_* is the minimum of (|A|^2 + |B|^2) / 2 over Y = A B, smooth in both factors.
    def objective(factors):
        a, b = factors[:4].reshape(2, 2), factors[4:].reshape(2, 3)
        return 0.5 * np.sum((a @ b - MATRIX) ** 2) + 0.5 * STEP * penalty * np.sum(factors**2)

    start = np.random.default_rng(3).normal(size=10)
    best = minimize(objective, start, method="BFGS", options={"gtol": 1e-9}).x
    found = proximal.nuclear_norm(MATRIX, penalty, STEP)
    np.testing.assert_allclose(found, best[:4].reshape(2, 2) @ best[4:].reshape(2, 3), atol=1e-6)


SMOOTH = {
    **CASES,
    "nuclear norm": Case(proximal.nuclear_norm, np.sum, MATRIX, 0.4),
    "nuclear norm, one value kept": Case(proximal.nuclear_norm, np.sum, MATRIX.T, 1.9),
    "groups": Case(proximal.group_lasso, np.sum, MATRIX, jnp.array([1.1, 2.9])),
}


@pytest.mark.parametrize("case", SMOOTH.values(), ids=SMOOTH)
def test_derivative(case: Case, rng: np.random.Generator):
    theta = jax.tree_util.tree_map(jnp.asarray, case.theta)
    primals = (case.x, theta, jnp.asarray(STEP))
    draw = lambda leaf: jnp.asarray(rng.normal(size=leaf.shape))  # noqa: E731
    tangents = jax.tree_util.tree_map(draw, primals)

    def along(s):
        moved = jax.tree_util.tree_map(lambda p, t: p + s * t, primals, tangents)
        return case.prox(*moved)

    h = 1e-5
    found = jax.jvp(case.prox, primals, tangents)[1]
    np.testing.assert_allclose(found, (along(h) - along(-h)) / (2 * h), rtol=1e-6, atol=1e-8)
    weights = draw(case.x)
    pulled = jax.vjp(case.prox, *primals)[1](weights)
    products = jax.tree_util.tree_map(lambda p, t: jnp.sum(p * t), pulled, tangents)
    total = sum(jax.tree_util.tree_leaves(products))
    np.testing.assert_allclose(total, jnp.sum(weights * found), rtol=1e-11)


KINKS = {
    "l1": (proximal.l1, jnp.array([0.5, -0.5]), 0.5),
    "elastic net": (proximal.elastic_net, jnp.array([0.5, -0.5]), (0.5, 0.3)),
    "group lasso": (proximal.group_lasso, jnp.array([3.0, 4.0]), 5.0),
    "group lasso at zero": (proximal.group_lasso, jnp.zeros(2), 1.0),
    "nuclear norm": (proximal.nuclear_norm, jnp.diag(jnp.array([2.0, 2.0])), 2.0),
    "nuclear norm at zero": (proximal.nuclear_norm, jnp.zeros((2, 3)), 2.0),
}


@pytest.mark.parametrize(("prox", "x", "penalty"), KINKS.values(), ids=KINKS)
def test_at_a_kink_the_derivative_is_zero(prox, x, penalty):
    penalty = jax.tree_util.tree_map(float, penalty)
    for jacobian in (jax.jacfwd, jax.jacrev):
        for leaf in jax.tree_util.tree_leaves(jacobian(prox, (0, 1))(x, penalty)):
            np.testing.assert_array_equal(leaf, 0.0)


@pytest.mark.parametrize(
    ("prox", "x"),
    [
        (proximal.l1, jnp.array([0.0, -2.0])),
        (proximal.group_lasso, jnp.zeros(2)),
        (proximal.nuclear_norm, jnp.array([[1.0, 1.0], [1.0, 1.0]])),
    ],
)
def test_without_penalty_it_is_the_identity(prox, x):
    tangent = jnp.arange(1.0, 1 + x.size).reshape(x.shape)
    value, change = jax.jvp(lambda y: prox(y, 0.0), (x,), (tangent,))
    np.testing.assert_allclose(value, x, atol=1e-14)
    np.testing.assert_allclose(change, tangent, rtol=1e-13)


def test_equal_singular_values_are_no_kink(rng: np.random.Generator):
    rotation = jnp.asarray(np.linalg.qr(rng.normal(size=(3, 3)))[0])
    tangent = jnp.asarray(rng.normal(size=(3, 3)))
    for x in (2 * rotation, rotation[:, :1] @ rotation[:1] * 3):  # three equal, two zero
        found = jax.jvp(lambda y: proximal.nuclear_norm(y, 0.5), (x,), (tangent,))[1]
        h = 1e-5
        ends = [proximal.nuclear_norm(x + s * tangent, 0.5) for s in (h, -h)]
        np.testing.assert_allclose(found, (ends[0] - ends[1]) / (2 * h), rtol=1e-6, atol=1e-8)


def test_nuclear_norm_is_of_a_matrix():
    with pytest.raises(InputError, match="matrix"):
        proximal.nuclear_norm(VECTOR)
