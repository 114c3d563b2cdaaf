"""The refinement believes the true residual, and nothing else."""

import jax.numpy as jnp
import numpy as np

from mdsens.linear import Outcome
from mdsens.linear.refinement import Step, refine

A = jnp.diag(jnp.array([1.0, 2.0, 4.0]))
B = jnp.array([1.0, 1.0, 1.0])


def outcome_of(step) -> tuple[np.ndarray, int]:
    end = refine(lambda x: A @ x, B, step, 1e-10, 8)
    return np.asarray(end.x), int(end.outcome)


def step_of(solve):
    return lambda r, tol: Step(solve(r), 1, jnp.asarray(0), jnp.asarray(4.0))


def test_a_step_that_lies_a_little_is_repeated():
    x, outcome = outcome_of(step_of(lambda r: 1.01 * jnp.linalg.solve(A, r)))
    assert outcome == Outcome.CONVERGED
    np.testing.assert_allclose(x, [1, 1 / 2, 1 / 4], rtol=1e-9)


def test_a_step_that_is_wrong_is_found_out():
    _, outcome = outcome_of(step_of(lambda r: -jnp.linalg.solve(A, r)))
    assert outcome == Outcome.NOT_CONVERGED


def test_a_step_that_returns_nan_is_found_out():
    _, outcome = outcome_of(step_of(lambda r: jnp.nan * r))
    assert outcome == Outcome.NOT_CONVERGED
