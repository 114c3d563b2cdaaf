"""Side by side with jaxopt 0.8.5, whose users should need to change one import."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.implicit import custom_fixed_point, custom_root, root_jvp, root_vjp
from tests.implicit.problems import X, Y, ridge_gradient

jaxopt = pytest.importorskip("jaxopt")
theirs = pytest.importorskip("jaxopt.implicit_diff")
linear_solve = pytest.importorskip("jaxopt.linear_solve")

THETA = jnp.array([0.7, 1.3, 2.1, 0.9])
SOLUTION = jnp.linalg.solve(X.T @ X + jnp.diag(THETA), X.T @ Y)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


def test_products_with_their_default_solve():
    solve = linear_solve.solve_normal_cg
    found = root_vjp(ridge_gradient, SOLUTION, (THETA,), jnp.ones(4), solve=solve)
    exact = linear_solve.solve_lu
    close(
        found[0], theirs.root_vjp(ridge_gradient, SOLUTION, (THETA,), jnp.ones(4), solve=exact)[0]
    )
    found = root_jvp(ridge_gradient, SOLUTION, (THETA,), (THETA,), solve=solve)
    close(found, theirs.root_jvp(ridge_gradient, SOLUTION, (THETA,), (THETA,), solve=exact))


@pytest.mark.parametrize("mine", [custom_root, custom_fixed_point])
def test_decorators(mine):
    other = getattr(theirs, mine.__name__)
    fun = ridge_gradient if mine is custom_root else lambda w, t: w - 0.1 * ridge_gradient(w, t)

    def solver(init, penalties):
        return jnp.linalg.solve(X.T @ X + jnp.diag(penalties), X.T @ Y), jnp.sum(penalties)

    jacobians = [
        jax.jacrev(
            lambda t, d=d: d(fun, has_aux=True, solve=linear_solve.solve_lu)(solver)(None, t)[0]
        )(THETA)
        for d in (mine, other)
    ]
    close(*jacobians)


def test_around_their_solvers():
    def loss(w, theta):
        return jnp.sum((X @ w - Y) ** 2) + theta * jnp.sum(w**2)

    solver = jaxopt.GradientDescent(loss, maxiter=3000, tol=1e-12, implicit_diff=False, jit=True)
    mine = custom_root(jax.grad(loss), has_aux=True)(lambda init, theta: solver.run(init, theta))

    def closed(theta):
        return jnp.linalg.solve(X.T @ X + theta * jnp.eye(4), X.T @ Y)

    close(jax.jacrev(lambda t: mine(jnp.zeros(4), t)[0])(0.7), jax.jacfwd(closed)(0.7))
    close(jax.jacfwd(lambda t: mine(jnp.zeros(4), t).params)(0.7), jax.jacfwd(closed)(0.7))
