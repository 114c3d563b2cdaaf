"""Side by side with the conditions of jaxopt 0.8.5."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.implicit import custom_fixed_point
from mdsens.implicit.optimality import kkt
from tests.implicit_optimality.problems import PROBLEMS, ROWS, THETA, Q, linear, quadratic

jaxopt = pytest.importorskip("jaxopt")
base = pytest.importorskip("jaxopt.base")
STRICT = {"tol": 1e-13, "maxiter": 2000}


def test_around_jaxopt_solvers():
    """Their solvers find the solution, our conditions differentiate it, their rule agrees."""
    c, total = THETA, 1.09
    theirs = jaxopt.ProjectedGradient(quadratic, jaxopt.projection.projection_simplex, **STRICT)
    expected = jax.jacrev(lambda c: theirs.run(jnp.full(4, 0.25), total, c).params)(c)

    @custom_fixed_point(PROBLEMS["simplex"].condition)
    def mine(init, c, total):
        return theirs.run(init, total, c).params

    found = jax.jacrev(lambda c: mine(jnp.full(4, 0.25), c, total))(c)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


def test_their_kkt_residual_is_ours():
    optimality = jaxopt.EqualityConstrainedQP().optimality_fun
    b = THETA[:2] ** 2
    point = PROBLEMS["equality"].closed(THETA, b)
    moved = jax.tree_util.tree_map(lambda leaf: leaf + 0.1, point)
    theirs = optimality(base.KKTSolution(*moved), params_obj=(Q, -THETA), params_eq=(ROWS, b))
    ours = kkt(quadratic, equality=linear(ROWS))(moved, THETA, b)
    np.testing.assert_allclose(ours.primal, theirs.primal, rtol=1e-12)
    np.testing.assert_allclose(ours.dual_equality, theirs.dual_eq, rtol=1e-12)
