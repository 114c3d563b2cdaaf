"""SciPy's solvers by name, inside and outside of jit, against finite differences and Newton."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from mdsens.errors import NotConverged
from mdsens.implicit import Certified, custom_root, scipy_minimize, scipy_root

RNG = np.random.default_rng(3)
X = jnp.asarray(RNG.normal(size=(30, 4)))
LABELS = jnp.asarray(RNG.integers(0, 2, size=30) * 1.0)
START = {"w": jnp.zeros(4), "b": jnp.zeros(())}
THETA = jnp.array([0.3, 0.7])


def logistic(unknowns, theta):
    """Logistic regression with an intercept, two penalties."""
    w, b = unknowns["w"], unknowns["b"]
    scores = X @ w + b
    loss = jnp.sum(jnp.logaddexp(0.0, scores) - LABELS * scores)
    return loss + 0.5 * theta[0] * jnp.sum(w * w) + 0.5 * theta[1] * b * b


class Elimination(Certified):
    """Compiles faster than the default."""

    symmetric = True

    def __call__(self, matvec, b):
        flat, unravel = ravel_pytree(b)
        matrix = jax.jacfwd(lambda v: ravel_pytree(matvec(unravel(v)))[0])(flat)
        return unravel(jnp.linalg.solve(matrix, flat))


differentiated = custom_root(jax.grad(logistic), solve=Elimination())


def observe(unknowns):
    return jnp.sum(jnp.sin(unknowns["w"] + jnp.arange(4.0))) + unknowns["b"] ** 2


@pytest.fixture(scope="module")
def reference():
    """(value, gradient) by finite differences of roots found to rounding."""
    solve = scipy_root(jax.grad(logistic), tol=1e-13)

    def f(theta):
        return float(observe(solve(START, theta)))

    steps = 1e-4 * jnp.eye(2)
    slopes = [(8 * (f(THETA + s) - f(THETA - s)) - f(THETA + 2 * s) + f(THETA - 2 * s)) / 12e-4
              for s in steps]  # fmt: skip
    return f(THETA), np.array(slopes)


METHODS = {
    "BFGS": (scipy_minimize(logistic), 1e-6),
    "L-BFGS-B": (scipy_minimize(logistic, "L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-7}), 1e-6),
    "SLSQP": (scipy_minimize(logistic, "SLSQP", tol=1e-13), 1e-6),
    "Nelder-Mead": (
        scipy_minimize(logistic, "Nelder-Mead", tol=1e-9, options={"maxiter": 5000}),
        1e-6,
    ),
    "hybr": (scipy_root(jax.grad(logistic)), 1e-8),
    "lm": (scipy_root(jax.grad(logistic), "lm"), 1e-8),
    "krylov": (scipy_root(jax.grad(logistic), "krylov", tol=1e-10), 1e-8),
}


@pytest.mark.parametrize("name", METHODS)
def test_eager(name: str, reference):
    solver, rtol = METHODS[name]
    solved = differentiated(solver)
    value, gradient = jax.value_and_grad(lambda t: observe(solved(START, t)))(THETA)
    np.testing.assert_allclose(value, reference[0], rtol=rtol)
    np.testing.assert_allclose(gradient, reference[1], rtol=rtol)


@pytest.mark.parametrize("name", [pytest.param("BFGS", marks=pytest.mark.slow), "hybr"])
def test_compiled_and_batched(name: str, reference):
    solver, rtol = METHODS[name]
    solved = differentiated(solver)
    batched = jax.jit(jax.vmap(jax.value_and_grad(lambda t: observe(solved(START, t)))))
    values, gradients = batched(jnp.stack([THETA, 2 * THETA]))
    np.testing.assert_allclose(values[0], reference[0], rtol=rtol)
    np.testing.assert_allclose(gradients[0], reference[1], rtol=rtol)


def test_keywords_of_the_function():
    solver = scipy_root(lambda x, scale, power=2: x**power - scale)
    np.testing.assert_allclose(solver(jnp.ones(1), scale=4.0), [2.0], rtol=1e-10)
    np.testing.assert_allclose(jax.jit(solver)(jnp.ones(1), 8.0, 3.0), [2.0], rtol=1e-10)


@pytest.mark.parametrize(
    "solver",
    [
        scipy_minimize(lambda x, t: jnp.sum((x - 3 * t) ** 4), options={"maxiter": 1}),
        scipy_minimize(
            lambda x, t: jnp.sum((x - 3 * t) ** 4), "Nelder-Mead", options={"maxiter": 3}
        ),
        scipy_root(lambda x, t: x**2 + t),
    ],
    ids=["one step", "three steps", "no root"],
)
def test_failures(solver):
    with pytest.raises(NotConverged, match=r"SciPy's .* did not converge"):
        solver(jnp.ones(2), 1.0)
    assert np.all(np.isnan(jax.jit(solver)(jnp.ones(2), 1.0)))
