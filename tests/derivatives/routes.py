"""Slow, independent routes to the derivatives of a relaxed state.

Neither shares code with the routes under test beyond the energy function: the Hessian is the dense
one of jax.hessian, its pseudo-inverse NumPy's, what does not move is found from its spectrum.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.derivatives.named import replaced
from mdsens.equilibrium import Found
from mdsens.state import Configuration


def state_at(found: Found, x: Any, setting: Any = None) -> Configuration:
    s = setting or found.setting
    return Configuration(x, jnp.asarray(s.cell), s.neighbors, found.problem.pbc)


def dense_response(found: Found, theta: dict[str, Any], name: str, loose: np.ndarray) -> np.ndarray:
    """d(positions)/d(parameter) = -pinv(H_aa) B_a on active coordinates, (N d, p); fixed cell."""
    s, potential = found.setting, found.problem.potential
    n, d = s.positions.shape
    neighbors = s.neighbors.without(jnp.asarray(loose))

    def energy(x: jax.Array, value: jax.Array) -> jax.Array:
        params = replaced(s.params, {**theta, name: value.reshape(theta[name].shape)})
        return potential.energy(params, x.reshape(n, d), jnp.asarray(s.cell), neighbors)

    x, value = jnp.ravel(s.positions), jnp.ravel(theta[name])
    hessian = np.asarray(jax.jit(jax.hessian(energy))(x, value))
    mixed = np.asarray(jax.jit(jax.jacfwd(jax.grad(energy), argnums=1))(x, value))
    active = np.repeat(~(np.asarray(s.fixed) | loose), d)
    # Rigid motions leave eigenvalues at round-off; everything else here is at least 1e-5 of the top.
    inverse = np.linalg.pinv(hessian[np.ix_(active, active)], rcond=1e-9, hermitian=True)
    out = np.zeros((n * d, mixed.shape[1]))
    out[active] = -inverse @ mixed[active]
    return out


def partials(found: Found, theta: dict[str, Any], name: str, observable: Any, loose: np.ndarray):
    """(do/dx (c, N d), do/dtheta (c, p)) of an observable at the state."""
    s, problem = found.setting, found.problem
    n, d = s.positions.shape
    neighbors = s.neighbors.without(jnp.asarray(loose))

    def value(x: jax.Array, v: jax.Array) -> jax.Array:
        params = replaced(s.params, {**theta, name: v.reshape(theta[name].shape)})
        state = Configuration(x.reshape(n, d), jnp.asarray(s.cell), neighbors, problem.pbc)
        return jnp.ravel(observable(problem.potential, params, state))

    x, v = jnp.ravel(s.positions), jnp.ravel(theta[name])
    return tuple(np.asarray(j) for j in jax.jit(jax.jacobian(value, argnums=(0, 1)))(x, v))


def off_centre(potential: Any, params: Any, state: Any) -> jax.Array:
    """Three numbers of the positions that no rigid motion leaves alone."""
    x = jnp.asarray(state.positions)
    n, d = x.shape
    weights = jnp.cos(1.0 + jnp.arange(3 * n * d).reshape(3, n, d))
    return jnp.sum(weights * jnp.sin(x)[None], axis=(1, 2))


def close(a: Any, b: Any, rtol: float) -> None:
    """Equal up to rtol of the largest component."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    assert np.linalg.norm(a - b) <= rtol * max(np.linalg.norm(a), np.linalg.norm(b), 1e-300)
