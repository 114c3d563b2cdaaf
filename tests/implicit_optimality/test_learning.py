"""Problems of statistical learning: whichever solver found the solution and whichever condition is
differentiated, the derivative is the one in closed form.

The solvers are each of another kind: active sets, projected and proximal gradient, coordinate
descent, mirror descent, Anderson acceleration, Newton, SciPy, bisection.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from mdsens.implicit import attach, custom_fixed_point, custom_root
from mdsens.implicit.optimality import (
    block_proximal_gradient,
    exponentiated_gradient,
    kkt,
    mirror_descent,
    newton,
    projected_gradient,
    projections,
    proximal,
    proximal_gradient,
    stationary_point,
)

RNG = np.random.default_rng(7)
X = RNG.normal(size=(20, 5))
Y = X @ np.array([1.5, -0.8, 0.0, 0.4, 0.0]) + 0.3 * RNG.normal(size=20)
STEP = 1.0 / np.linalg.norm(X, 2) ** 2


def squares(w, y):
    return 0.5 * jnp.sum((X @ w - y) ** 2)


def sparse_regression(y, l1, l2, sign=None):
    """argmin |Xw - y|^2/2 + l1 |w|_1 + l2 |w|^2/2, or over w >= 0 (`sign` = 1), by active sets."""
    w = np.zeros(5)
    for _ in range(5000):
        u = w - STEP * (X.T @ (X @ w - y) + l2 * w)
        w = (
            np.sign(u) * np.maximum(np.abs(u) - STEP * l1, 0.0)
            if sign is None
            else np.maximum(u, 0)
        )
    on = np.abs(w) > 1e-12
    s = np.sign(w[on]) if sign is None else np.zeros(on.sum())
    w[on] = np.linalg.solve(X[:, on].T @ X[:, on] + l2 * np.eye(on.sum()), X[:, on].T @ y - l1 * s)
    return w, on


class Derivatives(NamedTuple):
    """dw/dy, dw/dl1, dw/dl2 in closed form on the active set."""

    y: np.ndarray
    l1: np.ndarray
    l2: np.ndarray


def closed_form(w, on, l2, penalised=True):
    inverse = np.zeros((5, 5))
    inverse[np.ix_(on, on)] = np.linalg.inv(X[:, on].T @ X[:, on] + l2 * np.eye(on.sum()))
    return Derivatives(inverse @ X.T, -inverse @ np.sign(w) * penalised, -inverse @ w)


def jacobians(condition, w, *theta, root=False):
    decorate = custom_root if root else custom_fixed_point
    solver = decorate(condition)(lambda init, *theta: w)
    argnums = tuple(range(len(theta)))
    reverse = jax.jacrev(lambda *t: solver(None, *t), argnums)(*theta)
    forward = jax.jacfwd(lambda *t: solver(None, *t), argnums)(*theta)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), reverse, forward)
    return reverse


def near(found, expected):
    np.testing.assert_allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize("step", [STEP, 1e-3])
def test_lasso(step):
    w, on = sparse_regression(Y, 4.0, 0.0)
    assert 0 < on.sum() < 5
    want = closed_form(w, on, 0.0)
    found = jacobians(proximal_gradient(squares, proximal.l1, step), jnp.asarray(w), Y, 4.0)
    near(found[0], want.y)
    near(found[1], want.l1)


def test_elastic_net():
    w, on = sparse_regression(Y, 3.0, 2.0)
    want = closed_form(w, on, 2.0)
    condition = proximal_gradient(squares, proximal.elastic_net, STEP)
    by_y, (by_l1, by_l2) = jacobians(condition, jnp.asarray(w), Y, (3.0, 2.0))
    near(by_y, want.y)
    near(by_l1, want.l1)
    near(by_l2, want.l2)


def test_lasso_by_coordinates():
    """Block coordinate descent converges to a fixed point of all blocks at once."""
    w, on = sparse_regression(Y, 4.0, 0.0)
    condition = block_proximal_gradient(
        lambda blocks, y: squares(jnp.concatenate(blocks), y), proximal.l1, STEP
    )
    blocks = (jnp.asarray(w[:2]), jnp.asarray(w[2:]))
    upper, lower = jacobians(condition, blocks, Y, (4.0, 4.0))
    want = closed_form(w, on, 0.0)
    near(np.concatenate([upper[0], lower[0]]), want.y)
    near(np.concatenate([sum(upper[1]), sum(lower[1])]), want.l1)


def test_non_negative_least_squares():
    w, _ = scipy.optimize.nnls(X, Y)
    on = w > 0
    assert 0 < on.sum() < 5
    want = closed_form(w, on, 0.0, penalised=False).y
    condition = projected_gradient(squares, projections.non_negative, STEP)
    near(jacobians(condition, jnp.asarray(w), Y)[0], want)
    # The same by multipliers: min f, -w <= 0.
    multiplier = X.T @ (X @ w - Y)
    point = (jnp.asarray(w), None, jnp.asarray(np.where(on, 0.0, multiplier)))
    conditions = kkt(lambda w, y: squares(w, y), inequality=lambda w, _: -w)
    near(jax.jacrev(lambda y: attach(conditions, point, (y, None, None))[0])(Y), want)


def test_non_negative_factor():
    """The factor of a non-negative matrix factorisation, the other one given: many at once."""
    targets = np.stack([Y, -Y, Y**2], axis=1)
    w = np.stack([scipy.optimize.nnls(X, t)[0] for t in targets.T], axis=1)

    def objective(w, x):
        return 0.5 * jnp.sum((x @ w - targets) ** 2)

    condition = projected_gradient(objective, projections.non_negative, STEP)
    direction = RNG.normal(size=X.shape)
    solver = custom_fixed_point(condition)(lambda init, x: jnp.asarray(w))
    got = jax.jvp(lambda x: solver(None, x), (jnp.asarray(X),), (jnp.asarray(direction),))[1]
    h = 1e-6
    ends = [
        np.stack([scipy.optimize.nnls(X + s * h * direction, t)[0] for t in targets.T], axis=1)
        for s in (-1.0, 1.0)
    ]
    np.testing.assert_allclose(got, (ends[1] - ends[0]) / (2 * h), atol=1e-7)


def regularised(w, penalty):
    return squares(w, jnp.asarray(Y)) + 0.5 * penalty * jnp.sum(w**2)


@pytest.mark.parametrize("condition", ["stationary", "newton", "gradient step"])
def test_ridge(condition):
    w, _ = sparse_regression(Y, 0.0, 3.0)
    want = closed_form(w, np.ones(5, bool), 3.0).l2
    gradient = stationary_point(regularised)
    if condition == "stationary":
        found = jacobians(gradient, jnp.asarray(w), 3.0, root=True)
    elif condition == "newton":
        found = jacobians(newton(gradient), jnp.asarray(w), 3.0)
    else:
        found = jacobians(lambda w, p: w - 0.01 * gradient(w, p), jnp.asarray(w), 3.0)
    near(found[0], want)


def logistic(w, penalty):
    labels = jnp.sign(jnp.asarray(Y))
    return jnp.sum(jnp.logaddexp(0.0, -labels * (X @ w))) + 0.5 * penalty * jnp.sum(w**2)


@pytest.mark.parametrize("method", ["BFGS", "L-BFGS-B", "Newton-CG", "trust-exact"])
def test_logistic_regression_found_by_scipy(method):
    """The solver leaves |F| ~ 1e-6 or less; Newton's steps bring the answer to round-off."""
    gradient, hessian = jax.grad(logistic), jax.hessian(logistic)
    second = {} if "BFGS" in method else {"hess": hessian}

    @custom_root(gradient)
    def fit(init, penalty):
        penalty = float(penalty)
        w = scipy.optimize.minimize(
            logistic, np.zeros(5), (penalty,), method, gradient, tol=1e-10, **second
        ).x
        for _ in range(3):
            w = w - np.linalg.solve(hessian(w, penalty), gradient(w, penalty))
        return jnp.asarray(w)

    w = fit(None, 1.5)
    found = jax.jvp(lambda p: fit(None, p), (1.5,), (1.0,))[1]
    near(found, -np.linalg.solve(hessian(w, 1.5), w))


LABELS = np.eye(3)[RNG.integers(0, 3, size=12)]
FEATURES = RNG.normal(size=(12, 4))
GRAM = FEATURES @ FEATURES.T


def dual_svm(x, penalty):
    """Dual of the multiclass support vector machine, rows of x on the simplex."""
    difference = LABELS - x
    return 0.5 / penalty * jnp.sum(difference * (GRAM @ difference)) + jnp.sum(x * LABELS)


def solved_svm(penalty):
    x = jnp.full(LABELS.shape, 1.0 / 3.0)
    step = penalty / np.linalg.norm(GRAM, 2)
    project = jax.vmap(projections.simplex)

    def advance(_, carry):
        x, momentum, t = carry
        after = project(momentum - step * jax.grad(dual_svm)(momentum, penalty))
        t_after = 0.5 * (1.0 + jnp.sqrt(1.0 + 4.0 * t**2))
        # Nesterov's acceleration, started anew where it goes uphill.
        uphill = jnp.sum((momentum - after) * (after - x)) > 0.0
        weight = jnp.where(uphill, 0.0, (t - 1.0) / t_after)
        return after, after + weight * (after - x), jnp.where(uphill, 1.0, t_after)

    return jax.jit(lambda x: jax.lax.fori_loop(0, 20_000, advance, (x, x, 1.0))[0])(x)


def test_support_vectors_by_projection_and_by_mirror():
    """The fixed points of projected gradient and of mirror descent are the same, and so is what
    they say of the classifier, whichever solver was run."""
    penalty, h = 2.0, 1e-5
    x = solved_svm(penalty)

    def classifier(x, penalty):
        return FEATURES.T @ (LABELS - x) / penalty

    rows = jax.vmap(projections.simplex)
    conditions = [
        projected_gradient(dual_svm, rows),
        exponentiated_gradient(dual_svm, axis=-1),
    ]
    ends = [classifier(solved_svm(penalty + s * h), penalty + s * h) for s in (-1.0, 1.0)]
    want = (ends[1] - ends[0]) / (2 * h)
    for condition in conditions:
        solver = custom_fixed_point(condition)(lambda init, p: x)
        got = jax.jacfwd(lambda p, s=solver: classifier(s(None, p), p))(penalty)
        np.testing.assert_allclose(got, want, atol=1e-7)


def test_mirror_descent_in_the_interior():
    """max c.x + entropy on the simplex: the softmax, whose derivative is known."""
    c = jnp.asarray(RNG.normal(size=4))
    x = jax.nn.softmax(c)

    def objective(x, c):
        return jnp.sum(x * jnp.log(x)) - c @ x

    from mdsens.implicit.optimality import kl_projection

    condition = mirror_descent(objective, kl_projection, jnp.log, 0.5)
    near(jacobians(condition, x, c)[0], np.diag(x) - np.outer(x, x))


def anderson(fixed_point, x, theta, memory=5, steps=60):
    """Anderson acceleration in NumPy: a solver JAX cannot look into."""
    images, residuals = [], []
    for _ in range(steps):
        image = np.asarray(fixed_point(x, theta))
        images, residuals = [*images, image][-memory:], [*residuals, image - x][-memory:]
        if np.linalg.norm(residuals[-1]) < 1e-15 * np.linalg.norm(x):
            break
        r = np.stack(residuals)
        gram = np.block([[r @ r.T, np.ones((len(r), 1))], [np.ones((1, len(r))), np.zeros((1, 1))]])
        right = np.append(np.zeros(len(r)), 1.0)
        x = np.linalg.lstsq(gram, right, rcond=None)[0][:-1] @ np.stack(images)
    return x


def test_anderson_acceleration():
    matrix = RNG.normal(size=(6, 6))
    matrix = 0.9 * matrix / np.linalg.norm(matrix, 2)

    def fixed_point(x, theta):
        return jnp.tanh(matrix @ x) + theta

    @custom_fixed_point(fixed_point)
    def solve(init, theta):
        return jnp.asarray(anderson(fixed_point, init, np.asarray(theta)))

    theta = jnp.asarray(RNG.normal(size=6))
    x = solve(np.zeros(6), theta)
    near(fixed_point(x, theta), x)
    slope = (1.0 - np.tanh(matrix @ x) ** 2)[:, None] * matrix
    want = np.linalg.inv(np.eye(6) - slope)
    got = np.stack([jax.jvp(lambda t: solve(np.zeros(6), t), (theta,), (e,))[1] for e in np.eye(6)])
    near(got.T, want)
    weights = RNG.normal(size=6)
    near(jax.grad(lambda t: weights @ solve(np.zeros(6), t))(theta), want.T @ weights)


def test_bisection():
    """x^3 + x = theta: dx/dtheta = 1/(3 x^2 + 1)."""

    @custom_root(lambda x, theta: x**3 + x - theta)
    def solve(init, theta):
        def halve(_, bracket):
            low, high = bracket
            middle = 0.5 * (low + high)
            above = middle**3 + middle > theta
            return jnp.where(above, low, middle), jnp.where(above, middle, high)

        low, high = jax.lax.fori_loop(0, 60, halve, (init[0], init[1]))
        return 0.5 * (low + high)

    bracket = jnp.array([-10.0, 10.0])
    for theta in (-3.0, 0.0, 7.0):
        x = solve(bracket, theta)
        near(jax.grad(lambda t: solve(bracket, t))(theta), 1.0 / (3.0 * x**2 + 1.0))
    batch = jnp.array([-3.0, 0.0, 7.0])
    slopes = jax.vmap(jax.grad(solve, argnums=1), (None, 0))(bracket, batch)
    near(slopes, 1.0 / (3.0 * jax.vmap(solve, (None, 0))(bracket, batch) ** 2 + 1.0))
