"""The exponential graph preconditioner of Packwood et al., doi:10.1063/1.4947024."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from mdsens.equilibrium.problem import Setting

_DECAY = 3.0
_STABILISER = 0.1


def exponential_preconditioner(
    gradient: Callable[[jax.Array], jax.Array], z: jax.Array, setting: Setting
) -> tuple[jax.Array, jax.Array]:
    """(Cholesky factor, matrix) of P = mu (L + c 1), (N, N), acting alike on every component.

    L is the graph Laplacian with weights exp(-A (r/r_nn - 1)) over listed pairs, A = 3, c = 0.1,
    r_nn the largest nearest-neighbour distance. mu matches the curvature of the energy along a long
    wave v: v . (g(z + v) - g(z)) = mu v . P_1 v.
    """
    n, d = setting.positions.shape
    pairs = setting.neighbors
    r = jnp.linalg.norm(pairs.vectors(setting.positions, setting.cell), axis=1)
    r = jnp.where(pairs.valid & (pairs.i != pairs.j), r, jnp.inf)
    nearest = jnp.full(n, jnp.inf).at[pairs.i].min(r).at[pairs.j].min(r)
    r_nn = jnp.max(jnp.where(jnp.isfinite(nearest), nearest, 0.0))
    weight = jnp.where(
        jnp.isfinite(r), jnp.exp(-_DECAY * (r / jnp.maximum(r_nn, 1e-300) - 1.0)), 0.0
    )
    unit = jnp.zeros((n, n)).at[pairs.i, pairs.j].add(-weight).at[pairs.j, pairs.i].add(-weight)
    unit = unit - jnp.diag(jnp.sum(unit, axis=1)) + _STABILISER * jnp.eye(n)
    matrix = _scale(gradient, z, setting, unit, 1e-2 * r_nn) * unit
    return jnp.linalg.cholesky(matrix), matrix


def _scale(gradient, z, setting: Setting, unit: jax.Array, amplitude: jax.Array) -> jax.Array:
    n, d = setting.positions.shape
    extent = jnp.maximum(jnp.ptp(setting.positions, axis=0), 1e-300)
    wave = amplitude * jnp.sin(2.0 * jnp.pi * setting.positions / extent[None])
    v = jnp.concatenate([wave.reshape(-1), jnp.zeros(z.size - n * d)])
    work = v @ (gradient(z + v) - gradient(z))
    mu = work / jnp.maximum(jnp.sum(wave * (unit @ wave)), 1e-300)
    # Gradients come in units of the largest curvature: mu = 1 is stiff enough for any mode.
    return jnp.clip(mu, 1e-3, 1.0)
