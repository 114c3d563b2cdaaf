"""Sums over eigenvalues against log determinants, which do not know of eigenvalues that meet."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.vibrations.spectral import spectral_sum
from mdsens.vibrations.statistics import STATISTICS

quantum, classical = STATISTICS["quantum"].free, STATISTICS["classical"].free


def family():
    """p -> a Hermitian matrix with three equal eigenvalues, one near them and two equal ones at p = 0;
    first and second derivatives split them all."""
    rng = np.random.default_rng(0)
    a, b, c, turn = (
        x + x.conj().T for x in rng.normal(size=(4, 6, 6)) + 1j * rng.normal(size=(4, 6, 6))
    )
    q = np.linalg.qr(turn)[0]
    here = q @ np.diag([1.0, 1.0, 1.0, 1.2, 9.0, 9.0]) @ q.conj().T
    return lambda p: here + 0.1 * (p[0] * a + p[1] * b + p[0] * p[1] * c)


def by_sum(f):
    matrix = family()
    return lambda p: spectral_sum(f, matrix(p), p[2])


def by_determinant(p):
    x = p[2]
    return 0.5 * x * jnp.linalg.slogdet(family()(p))[1] - 6 * x * jnp.log(x)


HERE = jnp.array([0.0, 0.0, 0.7])


@pytest.mark.parametrize("nesting", ["frr", "rrr"])
def test_three_derivatives_at_equal_eigenvalues(nesting):
    def thrice(f):
        for letter in reversed(nesting):
            f = {"f": jax.jacfwd, "r": jax.jacrev}[letter](f)
        return jax.jit(f)(HERE)

    np.testing.assert_allclose(thrice(by_sum(classical)), thrice(by_determinant), atol=1e-13)


def test_quantum_second_derivatives_where_eigenvalues_split():
    """Against central differences of the sum itself."""
    f = by_sum(quantum)
    found = jax.hessian(f)(HERE)
    h, steps = 1e-4, np.eye(3)
    slope = jax.jit(jax.grad(f))
    want = [(slope(HERE + h * e) - slope(HERE - h * e)) / (2 * h) for e in steps]
    np.testing.assert_allclose(found, want, rtol=1e-6, atol=1e-8)
    # The mean over a set of slopes is no second derivative of a sum of logarithms.
    assert abs(found[0, 0]) > 1e-3


def test_the_fourth_is_refused():
    def sheared(t):
        return spectral_sum(classical, jnp.array([[2.0, t], [t, 2.0]]), jnp.ones(()))

    second = jax.jacfwd(jax.jacfwd(sheared))
    both = jax.jit(lambda t: (second(t), jax.jacfwd(jax.jacfwd(second))(t)))
    found, refused = both(0.0)
    # ln(4 - t^2)/2
    assert found == pytest.approx(-0.25) and np.isnan(refused)


def test_oscillator():
    """One level of 0.3 at three temperatures, and both statistics where they agree."""
    level, t = 0.3, np.array([0.05, 0.3, 3.0])
    free = [float(quantum(jnp.asarray(level**2), jnp.asarray(x))) for x in t]
    np.testing.assert_allclose(free, t * np.log(2 * np.sinh(0.5 * level / t)), rtol=1e-13)
    assert float(quantum(jnp.asarray(level**2), jnp.zeros(()))) == pytest.approx(0.15)
    assert float(classical(jnp.asarray(level**2), jnp.zeros(()))) == 0.0
    hot = [float(f(jnp.asarray(level**2), jnp.asarray(100.0))) for f in (quantum, classical)]
    assert hot[0] - hot[1] == pytest.approx(level**2 / 2400.0, rel=1e-5)
