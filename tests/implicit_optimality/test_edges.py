"""Degenerate points, kinks of projections, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.errors import DerivativeUndefined, InputError
from mdsens.implicit import attach
from mdsens.implicit.optimality import (
    KKTPoint,
    block_proximal_gradient,
    kkt,
    kl_projection,
    mirror_descent,
    projections,
    proximal,
)


# min (z - c)^2 / 2 subject to z <= 1: for c = 1 the constraint is active, its multiplier zero.
def parabola(z, c):
    return jnp.sum((z - c) ** 2) / 2


CONDITION = kkt(parabola, inequality=lambda z, _: z - 1.0)


def bounded(c):
    point = KKTPoint(jnp.minimum(c, 1.0), None, jnp.maximum(c - 1.0, 0.0))
    return attach(CONDITION, point, (c,))


@pytest.mark.parametrize(("c", "primal", "dual"), [(0.4, 1.0, 0.0), (1.6, 0.0, 1.0)])
def test_both_sides_of_a_degenerate_point(c, primal, dual):
    slope = jax.jvp(bounded, (jnp.full(1, c),), (jnp.ones(1),))[1]
    np.testing.assert_allclose(slope.primal, [primal], atol=1e-12)
    np.testing.assert_allclose(slope.dual_inequality, [dual], atol=1e-12)


@pytest.mark.parametrize("c", [1.0, 1.0 + 1e-10])
def test_without_strict_complementarity_the_derivative_is_refused(c):
    with pytest.raises(DerivativeUndefined):
        jax.grad(lambda c: jnp.sum(bounded(c).primal))(jnp.full(1, c))
    with pytest.raises(DerivativeUndefined):
        jax.jvp(bounded, (jnp.full(1, c),), (jnp.ones(1),))
    value, slope = jax.jit(lambda c: jax.jvp(bounded, (c,), (jnp.ones(1),)))(jnp.full(1, c))
    assert np.isfinite(value.primal).all() and np.isnan(slope.primal).all()


def test_the_residual_itself_is_finite_there():
    point = KKTPoint(jnp.ones(1), None, jnp.zeros(1))
    for leaf in jax.tree_util.tree_leaves(CONDITION(point, jnp.ones(1))):
        np.testing.assert_array_equal(leaf, 0.0)


def test_unknowns_may_be_a_plain_tuple_of_pytrees():
    condition = kkt(lambda z, c: parabola(z["a"], c), equality=lambda z, b: {"h": z["a"] - b})
    value = condition(({"a": jnp.ones(1)}, {"h": jnp.ones(1)}, ()), jnp.zeros(1), jnp.zeros(1))
    assert type(value) is tuple and value[2] == ()
    np.testing.assert_array_equal(value[0]["a"], [2.0])
    np.testing.assert_array_equal(value[1]["h"], [1.0])


@pytest.mark.parametrize(
    ("unknowns", "sentence"),
    [
        ((jnp.ones(1), None), "tuple"),
        ((jnp.ones(1), jnp.ones(1), jnp.ones(1)), "equality constraint that was not given"),
        ((jnp.ones(1), None, jnp.ones(2)), "the inequality constraint returned"),
        ((jnp.ones(1), None, None), "the inequality constraint returned"),
    ],
)
def test_unknowns_that_do_not_fit(unknowns, sentence):
    with pytest.raises(InputError, match=sentence):
        CONDITION(unknowns, jnp.ones(1))


@pytest.mark.parametrize(
    ("x", "options", "theta", "sentence"),
    [
        ([jnp.ones(1)], {}, None, "must be a tuple"),
        ((jnp.ones(1),), {"steps": (1.0, 2.0)}, None, "steps has 2 entries for 1 blocks"),
        ((jnp.ones(1),), {}, 3.0, "theta_prox must be a tuple"),
        ((jnp.ones(1),), {}, (3.0, 1.0), "theta_prox has 2"),
    ],
)
def test_blocks_that_do_not_fit(x, options, theta, sentence):
    condition = block_proximal_gradient(lambda x, c: parabola(x[0], c), proximal.l1, **options)
    with pytest.raises(InputError, match=sentence):
        condition(x, 1.0, theta)


ON_THE_BOUNDARY = {
    "box": (projections.box, jnp.array([0.0, 2.0]), (0.0, 2.0), 0.5 * np.eye(2)),
    "linf ball": (projections.linf_ball, jnp.array([1.0, -1.0]), (1.0,), 0.5 * np.eye(2)),
    "non-negative": (projections.non_negative, jnp.zeros(2), (), np.zeros((2, 2))),
    "l1 ball": (projections.l1_ball, jnp.array([1.0, 0.0]), (1.0,), np.eye(2)),
    "l2 ball": (projections.l2_ball, jnp.array([1.0, 0.0]), (1.0,), np.diag([0.5, 1.0])),
    "simplex": (projections.simplex, jnp.array([1.0, 0.0]), (1.0,), np.zeros((2, 2))),
    "halfspace": (
        projections.halfspace,
        jnp.array([1.0, 0.0]),
        (jnp.array([1.0, 0.0]), 1.0),
        np.diag([0.5, 1.0]),
    ),
}


@pytest.mark.parametrize("name", ON_THE_BOUNDARY)
def test_projections_on_the_boundary(name: str):
    projection, x, args, expected = ON_THE_BOUNDARY[name]
    for jacobian in (jax.jacfwd, jax.jacrev):
        np.testing.assert_allclose(jacobian(projection)(x, *args), expected, atol=1e-15)


def test_affine_projection_is_orthogonal(rng: np.random.Generator):
    matrix, x, b = (jnp.asarray(rng.normal(size=s)) for s in ((2, 4), (4,), (2,)))
    y = projections.affine(x, matrix, b)
    np.testing.assert_allclose(matrix @ y, b, rtol=1e-12)
    null = np.linalg.svd(matrix)[2][2:]
    np.testing.assert_allclose(null @ (y - x), 0, atol=1e-14)


def test_the_logarithm_refuses_zeros():
    condition = mirror_descent(lambda x, c: -jnp.sum(c * x), kl_projection, jnp.log)

    def solved(c):
        x = attach(lambda x, c: condition(x, c) - x, jnp.array([1.0, 0.0]), (c,))
        return jnp.sum(x**2)

    with pytest.raises(DerivativeUndefined):
        jax.grad(solved)(jnp.array([2.0, 1.0]))
