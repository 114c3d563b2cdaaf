"""All four nestings of forward and reverse mode, and one of third order."""

import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.implicit.problems import PROBLEMS, Problem, observe

MODES = {"forward": jax.jacfwd, "reverse": jax.jacrev}
NESTINGS = list(itertools.product(MODES, MODES))


def cases() -> Iterator[Any]:
    """Every nesting for the hardest problem; for the others where there is time."""
    for name, (outer, inner) in itertools.product(PROBLEMS, NESTINGS):
        marks = (
            ()
            if name == "unsymmetric" or (outer, inner) == ("forward", "reverse")
            else pytest.mark.slow
        )
        label = f"{name}, {outer} over {inner}"
        yield pytest.param(PROBLEMS[name], outer, inner, marks=marks, id=label)


@pytest.mark.parametrize(("problem", "outer", "inner"), list(cases()))
def test_hessian(problem: Problem, outer: str, inner: str):
    def f(theta):
        return observe(problem.solved(theta))

    expected = jax.hessian(lambda t: observe(problem.closed(t)))(problem.theta)
    found = jax.jit(MODES[outer](MODES[inner](f)))(problem.theta)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


def test_eager_hessian():
    problem = PROBLEMS["unsymmetric"]
    found = jax.hessian(lambda t: observe(problem.solved(t)))(problem.theta)
    expected = jax.hessian(observe)(problem.theta)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9)


def test_hessian_by_finite_differences_of_the_gradient():
    problem = PROBLEMS["ridge"]
    gradient = jax.jit(jax.grad(lambda t: observe(problem.solved(t))))
    h = 1e-5
    expected = [
        (gradient(problem.theta + s) - gradient(problem.theta - s)) / (2 * h)
        for s in h * jnp.eye(4)
    ]
    found = jax.hessian(lambda t: observe(problem.solved(t)))(problem.theta)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


def test_third_derivative():
    problem = PROBLEMS["square root"]

    def along(s, function):
        return jnp.sum(function(s * problem.theta))

    third = jax.jit(jax.jacfwd(jax.jacrev(jax.grad(along))), static_argnums=1)
    expected = third(1.0, problem.closed)
    np.testing.assert_allclose(third(1.0, problem.solved), expected, rtol=1e-9)
