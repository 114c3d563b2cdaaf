"""What is differentiated must be a root: wrong answers are refused, loose ones are not."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.errors import DerivativeUndefined, InputError
from mdsens.implicit import custom_fixed_point, custom_root
from mdsens.implicit.optimality import KKTPoint, kkt
from tests.implicit.problems import X, Y, ridge_gradient

THETA = jnp.array([0.7, 1.3, 2.1, 0.9])
RIDGE = jnp.linalg.solve(X.T @ X + jnp.diag(THETA), X.T @ Y)
ROWS = jnp.array([[1.0, 1.0, 0.0, -1.0]])


def square_root(x, theta):
    return x**2 - theta


def spring(x, theta):  # x* = 0 for every theta
    return theta * x + x**3


def ring(x, theta):  # a uniform shift of x solves it too
    stretch = jnp.roll(x, -1) - x - theta
    return jnp.roll(stretch, 1) - stretch


def least_norm(unknowns, theta):
    return kkt(lambda z, t: 0.5 * jnp.sum(z * z) - t @ z, lambda z, _: ROWS @ z)(unknowns, theta)


def multipliers(sign):
    nu = sign * jnp.linalg.solve(ROWS @ ROWS.T, ROWS @ THETA)
    return KKTPoint(THETA - sign * ROWS.T @ nu, nu)


class Case(NamedTuple):
    """A condition, the point claimed to solve it, and where the search began, if that is known."""

    condition: Callable[..., Any]
    claimed: Any
    start: Any = None

    def solved(self, theta, **options):
        return custom_root(self.condition, **options)(lambda init, t: self.claimed)(
            self.start, theta
        )

    def slope(self, **options):
        return jax.jvp(lambda t: self.solved(t, **options), (THETA,), (jnp.ones(4),))[1]


WRONG = {
    "the start": Case(ridge_gradient, jnp.ones(4), jnp.ones(4)),
    "zeros": Case(ridge_gradient, jnp.zeros(4), jnp.ones(4)),
    "zeros, start unknown": Case(ridge_gradient, jnp.zeros(4)),
    "zeros where A vanishes too": Case(lambda x, t: x**2 - t + 1e-3 * x, jnp.zeros(4)),
    "another sign": Case(ridge_gradient, -RIDGE, jnp.ones(4)),
    "another penalty": Case(ridge_gradient, jnp.linalg.solve(X.T @ X + 9 * jnp.eye(4), X.T @ Y)),
    "another power": Case(lambda x, t: x**3 - 4 * t, 2 * jnp.sqrt(THETA)),
    "one step of descent": Case(
        ridge_gradient, -0.02 * ridge_gradient(jnp.zeros(4), THETA), jnp.zeros(4)
    ),
    "multipliers of another sign": Case(least_norm, multipliers(-1.0)),
    "a start where the solution vanishes": Case(spring, jnp.ones(4), jnp.ones(4)),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_what_is_no_root_has_no_derivative(case: Case):
    with pytest.raises(DerivativeUndefined, match="does not solve the optimality function"):
        case.slope()
    for leaf in jax.tree_util.tree_leaves(case.slope(accuracy=None)):
        assert np.all(np.isfinite(leaf))


LOOSE = {
    "to three digits": Case(ridge_gradient, 1.001 * RIDGE, jnp.ones(4)),
    "to three digits, start unknown": Case(ridge_gradient, 1.001 * RIDGE),
    "to one digit and a half": Case(square_root, 1.05 * jnp.sqrt(THETA)),
    "started at the solution": Case(ridge_gradient, 1.001 * RIDGE, 1.001 * RIDGE),
    "a solution that vanishes": Case(spring, 1e-4 * THETA, jnp.ones(4)),
    "found to vanish exactly": Case(spring, jnp.zeros(4)),
    "one that vanishes with theta": Case(lambda x, t: x - (t - THETA), 1e-3 * THETA),
    "any shift of a ring": Case(ring, 100.0 + 1e-4 * THETA - jnp.arange(4.0) * 0),
    "multipliers": Case(least_norm, multipliers(1.0)),
    "multipliers that vanish": Case(
        lambda u, t: least_norm(u, t - THETA), KKTPoint(jnp.full(4, 1e-9), jnp.full(1, 1e-6))
    ),
}


@pytest.mark.parametrize("case", LOOSE.values(), ids=LOOSE)
def test_a_loosely_converged_root_passes(case: Case):
    found, expected = case.slope(), case.slope(accuracy=None)
    jax.tree_util.tree_map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("scale", [1e-20, 1e20])
@pytest.mark.parametrize("name", ["zeros", "another sign"])
def test_units_do_not_matter(name: str, scale: float):
    case = WRONG[name]
    in_force = case._replace(condition=lambda x, t: scale * case.condition(x, t))
    in_length = Case(
        lambda x, t: case.condition(x / scale, t), scale * case.claimed, scale * case.start
    )
    in_theta = case._replace(condition=lambda x, t: case.condition(x, t / scale))
    for changed in (in_force, in_length):
        with pytest.raises(DerivativeUndefined, match="does not solve"):
            changed.slope()
    with pytest.raises(DerivativeUndefined, match="does not solve"):
        jax.jvp(in_theta.solved, (scale * THETA,), (jnp.ones(4),))
    loose = LOOSE["to three digits"]
    Case(lambda x, t: loose.condition(x / scale, t), scale * loose.claimed).slope()


def test_in_every_mode_and_order():
    case = WRONG["the start"]
    for derivative in (jax.grad, jax.hessian, lambda f: lambda t: jax.linearize(f, t)):
        with pytest.raises(DerivativeUndefined, match="does not solve"):
            derivative(lambda t: jnp.sum(case.solved(t)))(THETA)
    assert np.all(np.isnan(jax.jit(jax.grad(lambda t: jnp.sum(case.solved(t))))(THETA)))


def test_the_value_is_not_judged():
    case = WRONG["the start"]
    np.testing.assert_array_equal(case.solved(THETA), 1.0)
    np.testing.assert_array_equal(jax.jit(case.solved)(THETA), 1.0)


def test_one_wrong_member_of_a_batch():
    def gradient(x, theta):
        f = custom_root(square_root)(lambda init, t: x)
        return jax.grad(lambda t: jnp.sum(f(x, t)))(theta)

    claimed = jnp.stack([jnp.sqrt(THETA), jnp.ones(4), 1.01 * jnp.sqrt(THETA)])
    found = jax.jit(jax.vmap(gradient, (0, None)))(claimed, THETA)
    assert np.all(np.isnan(found[1]))
    np.testing.assert_allclose(found[0], 0.5 / jnp.sqrt(THETA), rtol=1e-12)
    np.testing.assert_allclose(found[2], 0.5 / 1.01 / jnp.sqrt(THETA), rtol=1e-12)


def test_closed_over_parameters_are_judged_too():
    def f(theta):
        return jnp.sum(custom_root(lambda x: x**2 - theta)(lambda init: init)(jnp.ones(4)))

    with pytest.raises(DerivativeUndefined, match="does not solve"):
        jax.grad(f)(4.0 * THETA)


def test_fixed_points_are_judged_too():
    def averaged(x, theta):
        return 0.5 * (x + theta / x)

    wrong = custom_fixed_point(averaged)(lambda init, theta: init)
    with pytest.raises(DerivativeUndefined, match="does not solve"):
        jax.grad(lambda t: jnp.sum(wrong(jnp.ones(4), t)))(4.0 * THETA)
    trusted = custom_fixed_point(averaged, accuracy=None)(lambda init, theta: init)
    assert np.all(np.isfinite(jax.grad(lambda t: jnp.sum(trusted(jnp.ones(4), t)))(4.0 * THETA)))


def test_nan_is_named():
    with pytest.raises(DerivativeUndefined, match="the solver returned NaN"):
        Case(square_root, jnp.array([1.0, jnp.nan, 1.0, 1.0])).slope()


def test_integers_keys_and_complex_numbers_among_the_arguments():
    def condition(x, theta, count, flags, key, phase):
        noise = 0.0 * jax.random.uniform(key)
        return x**count - jnp.where(flags, theta, 0.0) + noise - 0.0 * jnp.abs(phase)

    args = (2, jnp.array([True] * 4), jax.random.key(0), 1.0 + 2.0j)

    def f(claimed, theta):
        return jnp.sum(custom_root(condition)(lambda init, *rest: claimed)(None, theta, *args))

    found = jax.grad(f, 1)(jnp.sqrt(THETA), THETA)
    np.testing.assert_allclose(found, 0.5 / jnp.sqrt(THETA), rtol=1e-12)
    with pytest.raises(DerivativeUndefined, match="does not solve"):
        jax.grad(f, 1)(jnp.sqrt(THETA), 4.0 * THETA)


@pytest.mark.parametrize("accuracy", [0.0, 1.0, -0.1, float("nan")])
def test_an_accuracy_that_means_nothing(accuracy: float):
    with pytest.raises(InputError, match="accuracy"):
        custom_root(square_root, accuracy=accuracy)
