"""Bond-orientational order of a configuration.

It is made for a reference configuration, whose neighbours within reach it keeps, and is then an
observable f(potential, params, state) like any other: for `sensitivity(observables=[f])`, for
`jax.grad`, or for a plain `f(potential, params, state)`. Steps are smoothed, so that it is
differentiable; where particles have moved so far that the kept neighbours may not be all of them
the value is NaN. What serves liquids too is in `mdsens.observables.correlation`.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.errors import InputError
from mdsens.neighbors import Pairs, pair_list
from mdsens.observables.correlation import Measure
from mdsens.system import System

# Neighbours are kept this much further than needed, as a fraction of the particle spacing.
_MARGIN = 0.5


def bond_order(reference: System, fold: int, inner: float, outer: float) -> Measure:
    """Mean bond-orientational order of all particles, (): psi_fold in 2D, Steinhardt's q_fold in 3D.

        q_i^2 = sum_jk w_j w_k C(cos theta_jk) / (sum_j w_j)^2

    over the neighbours j, k of i and the angle between them; C is the Chebyshev polynomial T_fold in
    2D, so that q_i = |sum_j w_j exp(i fold theta_j)| / sum_j w_j, and the Legendre polynomial P_fold
    in 3D (addition theorem of spherical harmonics). w falls smoothly from 1 at the distance `inner`
    to 0 at `outer`. Particles without neighbours count as 0.

    Args:
        reference: the configuration whose neighbours are kept.
        fold: 6 for hexagonal discs, 4 or 6 in 3D.
        inner, outer: around the first minimum of g(r).

    Raises:
        InputError: not 0 <= inner < outer, or fold is not positive.

    Steinhardt, Nelson, Ronchetti 1983, doi:10.1103/PhysRevB.28.784.
    """
    if not 0.0 <= inner < outer or fold < 1:
        raise InputError("bond_order: needs 0 <= inner < outer and a positive fold")
    pairs = _neighbours(reference, outer)
    places, signs = _both_ways(pairs, reference.n_particles)
    known = places >= 0
    polynomial = _chebyshev if reference.dimension == 2 else _legendre

    def bond_order(potential: Any, params: Any, state: Any) -> jax.Array:
        bonds = pairs.vectors(state.positions, state.cell)[places] * signs[..., None]
        length = jnp.linalg.norm(jnp.where(known[..., None], bonds, 1.0), axis=2)
        weight = jnp.where(known, _switch((length - inner) / (outer - inner)), 0.0)
        unit = bonds / length[..., None]
        cosine = jnp.clip(jnp.einsum("nja,nka->njk", unit, unit), -1.0, 1.0)
        square = jnp.einsum("nj,nk,njk->n", weight, weight, polynomial(fold, cosine))
        total = jnp.sum(weight, axis=1)
        # The root has no slope at zero: there q is put to zero, with slope zero.
        some = (total > 0.0) & (square > 1e-28)
        q = jnp.sqrt(jnp.where(some, square, 1.0)) / jnp.where(some, total, 1.0)
        return _vouched(pairs, state, outer) * jnp.mean(jnp.where(some, q, 0.0))

    return bond_order


def _neighbours(reference: System, reach: float) -> Pairs:
    volume = abs(float(np.linalg.det(np.asarray(reference.cell))))
    spacing = (volume / reference.n_particles) ** (1.0 / reference.dimension)
    return jax.tree.map(jnp.asarray, pair_list(reference, reach + _MARGIN * spacing))


def _vouched(pairs: Pairs, state: Any, reach: float) -> jax.Array:
    """1 where the kept neighbours are all that can be within reach, else NaN."""
    holds = pairs.holds_for(jnp.asarray(state.positions), jnp.asarray(state.cell), reach)
    return jnp.where(holds, 1.0, jnp.nan)


def _both_ways(pairs: Pairs, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, K) places of each particle's bonds in the half list, -1 for none, and their direction."""
    listed = np.flatnonzero(np.asarray(pairs.valid))
    i, j = np.asarray(pairs.i)[listed], np.asarray(pairs.j)[listed]
    owner = np.concatenate([i, j])
    place = np.concatenate([listed, listed])
    sign = np.concatenate([np.ones(len(i)), -np.ones(len(j))])
    order = np.argsort(owner, kind="stable")
    owner, place, sign = owner[order], place[order], sign[order]
    rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
    places = np.full((n, int(rank.max(initial=0)) + 1), -1)
    signs = np.ones(places.shape)
    places[owner, rank], signs[owner, rank] = place, sign
    return places, signs


def _switch(x: jax.Array) -> jax.Array:
    """1 below 0, 0 above 1, twice differentiable in between."""
    x = jnp.clip(x, 0.0, 1.0)
    return 1.0 - x**3 * (10.0 - 15.0 * x + 6.0 * x**2)


def _chebyshev(order: int, x: jax.Array) -> jax.Array:
    before, here = jnp.ones_like(x), x
    for _ in range(order - 1):
        before, here = here, 2.0 * x * here - before
    return here


def _legendre(order: int, x: jax.Array) -> jax.Array:
    before, here = jnp.ones_like(x), x
    for m in range(1, order):
        before, here = here, ((2 * m + 1) * x * here - m * before) / (m + 1)
    return here
