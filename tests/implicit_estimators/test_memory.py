"""Memory of reverse mode, as XLA plans it."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mdsens.implicit import Automatic, Iteration

ITERATION = Iteration(lambda x, theta: jnp.cos(theta * x) * 0.9)
X0, THETA = jnp.linspace(0.0, 1.0, 1000), jnp.linspace(0.5, 1.0, 1000)


def temporaries(estimator) -> int:
    gradient = jax.grad(lambda theta: jnp.sum(estimator(ITERATION, X0, theta)))
    return jax.jit(gradient).lower(THETA).compile().memory_analysis().temp_size_in_bytes


def test_checkpoints_cost_the_root_of_the_number_of_steps():
    few, many = (temporaries(Automatic(steps=k)) for k in (100, 6400))
    assert 4 < many / few < 10, many / few
    assert temporaries(Automatic(steps=6400, checkpoint=False)) > 20 * many


def test_forward_mode_stores_nothing():
    def memory(steps: int) -> int:
        estimator = Automatic("forward", steps=steps)
        tangent = jax.jit(
            lambda t: jax.jvp(lambda theta: estimator(ITERATION, X0, theta), (THETA,), (t,))[1]
        )
        return tangent.lower(THETA).compile().memory_analysis().temp_size_in_bytes

    assert memory(6400) == memory(100)
