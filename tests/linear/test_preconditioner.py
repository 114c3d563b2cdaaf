"""Block-Jacobi is positive definite, whatever the blocks are."""

import jax.numpy as jnp
import numpy as np

from mdsens.linear import block_jacobi


def test_inverse_of_positive_blocks():
    blocks = jnp.array([[[2.0, 1.0], [1.0, 2.0]], [[4.0, 0.0], [0.0, 1.0]]])
    x = jnp.arange(1.0, 5.0)
    expected = [np.linalg.solve(b, y) for b, y in zip(blocks, x.reshape(2, 2), strict=True)]
    np.testing.assert_allclose(block_jacobi(blocks)(x), np.ravel(expected), rtol=1e-12)


def test_absolute_value_of_indefinite_blocks():
    blocks = jnp.array([[[-2.0, 0.0], [0.0, 4.0]]])
    np.testing.assert_allclose(block_jacobi(blocks)(jnp.ones(2)), [0.5, 0.25], rtol=1e-12)


def test_a_block_without_stiffness_is_not_blown_up():
    blocks = jnp.stack([jnp.zeros((2, 2)), 2 * jnp.eye(2)])
    np.testing.assert_allclose(block_jacobi(blocks)(jnp.ones(4)), 0.5, rtol=1e-12)


def test_nothing_known_is_the_identity():
    x = jnp.arange(4.0)
    assert np.array_equal(block_jacobi(None)(x), x)
