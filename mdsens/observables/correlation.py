"""Correlations of positions in any configuration of the same particles: g(r) and S(k).

Each is an observable f(potential, params, state) like any other. Who is near whom is found anew for
every state, so that liquids may flow and cells may change; all are differentiable in positions and
cell, and work under jit, vmap and lax.map. Averages over a trajectory are means over its states.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.errors import InputError
from mdsens.neighbors import folded
from mdsens.system import System, heights

Measure = Callable[[Any, Any, Any], jax.Array]

# A Gaussian of width one is below round-off of its peak beyond this.
_TAIL = 8.0
# Distances worked on at a time.
_PIECE = 2**16
# Phases at a time: they stay in the cache, which is fifteen times faster than from memory.
_CACHED = 2**14
# How much longer than asked for wave vectors are kept, for cells that change.
_SPARE = 1.25


def pair_correlation(
    reference: System, radii: Any, width: float, pair: tuple[str, str] | None = None
) -> Measure:
    """g(r) at the radii, (R,): the density of pairs relative to that of an ideal gas.

        g_ab(r) = V / (N_a N_b S_d r^(d-1)) sum over i of a, j of b, i != j, of G(r - r_ij),
        G(x) = exp(-x^2 / 2 width^2) / (width sqrt(2 pi)),    S_2 = 2 pi, S_3 = 4 pi

    N(N - 1) distances per state, of which each is seen at the radii within eight widths only: 1000
    particles and 250 radii take 0.1 to 0.3 s, and the gradient as long. The number of neighbours
    within r is the integral of N_b/V S_d r^(d-1) g(r), the coordination number where r is the first
    minimum.

    Args:
        reference: says which particles there are, in which directions they are periodic, and what
            size the cell is about.
        radii: ascending; with eight widths more at most half the smallest height of the cell, of
            every state: elsewhere the value is NaN.
        width: of the bins; a tenth of the first peak's width leaves it as it is.
        pair: species (a, b); None for all particles.

    Raises:
        InputError: radii that are not positive and ascending or reach too far, a width that is not
            positive, a cell that is not periodic, a species that is not there.
    """
    r, d = np.atleast_1d(np.asarray(radii, dtype=float)), reference.dimension
    if not np.all(r > 0.0) or not width > 0.0:
        raise InputError("pair_correlation: radii and width must be positive")
    if not np.all(np.diff(r) > 0.0):
        raise InputError("pair_correlation: radii must ascend")
    _require_periodic(reference, "pair_correlation")
    reach = float(r.max()) + _TAIL * width
    room = 0.5 * float(heights(np.asarray(reference.cell)).min())
    if reach > room:
        raise InputError(
            f"pair_correlation: radii and eight widths reach {reach:.6g}, half the smallest height "
            f"of the cell is {room:.6g}; stay below it, or repeat the cell"
        )
    first, second = _members(reference, pair)
    normal = np.sum(first) * np.sum(second) * _surface(d) * r ** (d - 1)
    # Of any radii no more than so many lie within the tails of one distance.
    most = int(np.max(np.searchsorted(r, r + 2.0 * _TAIL * width) - np.arange(len(r))))
    # Beyond the last radius there is room for what falls off the end.
    grid = jnp.concatenate([jnp.asarray(r), jnp.full(most, jnp.inf)])

    def counted(total: jax.Array, rows: Any, x: jax.Array, cell: jax.Array) -> jax.Array:
        here, number, weight = rows
        pairs = weight[:, None] * second[None] * (number[:, None] != jnp.arange(len(x))[None])
        distance = _nearest(x[None] - here[:, None], cell, pairs > 0.0)
        lowest = jnp.searchsorted(grid, distance - _TAIL * width)
        place = lowest[..., None] + jnp.arange(most)[None, None]
        away = (grid[place] - distance[..., None]) / width
        kernel = jnp.exp(-0.5 * jnp.where(jnp.isfinite(away), away, 0.0) ** 2)
        return total.at[place].add(pairs[..., None] * jnp.where(jnp.isfinite(away), kernel, 0.0))

    def pair_correlation(potential: Any, params: Any, state: Any) -> jax.Array:
        x, cell = jnp.asarray(state.positions), jnp.asarray(state.cell)
        rows = (x, jnp.arange(len(x)), jnp.asarray(first))

        @jax.checkpoint
        def step(total: jax.Array, piece: Any) -> tuple[jax.Array, None]:
            return counted(total, piece, x, cell), None

        total = folded(step, jnp.zeros(grid.shape), rows, max(1, _PIECE // len(x)))[0][: len(r)]
        height = 1.0 / jnp.max(jnp.linalg.norm(jnp.linalg.inv(cell), axis=0))
        inside = jnp.where(0.5 * height >= reach, 1.0, jnp.nan)
        volume = jnp.abs(jnp.linalg.det(cell))
        return inside * volume / (width * math.sqrt(2.0 * math.pi)) * total / normal

    return pair_correlation


def structure_factor(indices: Any) -> Measure:
    """S(k) = |sum_i exp(i k . x_i)|^2 / N at wave vectors k = 2 pi h^-1 n that fit the cell, (K,).

    Args:
        indices: (K, d) integers n, none of them all zero.

    Raises:
        InputError: they are not.
    """
    n = np.atleast_2d(np.asarray(indices))
    if not np.issubdtype(n.dtype, np.integer) or not n.any(axis=1).all():
        raise InputError("structure_factor: indices must be integers (K, d), none of them all zero")
    known = [np.unique(column, return_inverse=True) for column in n.T]
    chosen = jnp.stack([jnp.asarray(places) for _, places in known], axis=1)

    def structure_factor(potential: Any, params: Any, state: Any) -> jax.Array:
        fractional = jnp.asarray(state.positions) @ jnp.linalg.inv(jnp.asarray(state.cell))

        # exp(i k . x) as a product over directions: of each, few exponentials serve all wave vectors.
        tables = [
            _exponentials(values, fractional[:, axis]) for axis, (values, _) in enumerate(known)
        ]

        @jax.checkpoint
        def some(nothing: Any, places: jax.Array) -> tuple[Any, jax.Array]:
            real, imaginary = 1.0, 0.0
            for axis, (cosines, sines) in enumerate(tables):
                c, s = cosines[places[:, axis]], sines[places[:, axis]]
                real, imaginary = real * c - imaginary * s, real * s + imaginary * c
            total = jnp.sum(real, axis=1) ** 2 + jnp.sum(imaginary, axis=1) ** 2
            return nothing, total / len(fractional)

        return folded(some, (), chosen, max(1, _CACHED // len(fractional)))[1]

    return structure_factor


def isotropic_structure_factor(
    reference: System, wavenumbers: Any, width: float | None = None, most: int | None = 64
) -> Measure:
    """S(k) averaged over directions, (K,): over the wave vectors of the cell with lengths about k.

        S(k) = sum_n w_n S(k_n) / sum_n w_n,    w_n = c_n exp(-(|k_n| - k)^2 / 2 width^2)

    with S(k_n) of `structure_factor`, c_n the number of wave vectors that k_n stands for. Below the
    shortest wave vector 2 pi/L there is none.

    Args:
        reference: for the wave vectors that are kept; states whose cell is so much larger that there
            are others within reach give NaN.
        wavenumbers: k, positive.
        width: of the shells; None: a quarter of 2 pi over the smallest height of the cell, which is
            where the shortest wave vectors begin to be told apart.
        most: of the wave vectors with nearly one length, by half a width, so many are drawn, always the
            same ones, where there are more: S(k) of a liquid is the same for all of them. None: all,
            for crystals, in which few carry everything.

    Raises:
        InputError: wavenumbers or width that are not positive, wavenumbers with no wave vector within
            two widths, a cell that is not periodic.
    """
    k = np.atleast_1d(np.asarray(wavenumbers, dtype=float))
    _require_periodic(reference, "isotropic_structure_factor")
    cell = np.asarray(reference.cell)
    if width is None:
        width = 0.5 * math.pi / float(heights(cell).min())
    if not np.all(k > 0.0) or not width > 0.0:
        raise InputError("isotropic_structure_factor: wavenumbers and width must be positive")
    reach = float(k.max()) + _TAIL * width
    n, lengths = _waves(cell, _SPARE * reach)
    apart = np.array([np.min(np.abs(lengths - x), initial=np.inf) for x in k])
    if apart.max() > 2.0 * width:
        lone = k[np.argmax(apart)]
        raise InputError(
            f"isotropic_structure_factor: the cell has no wave vector within two widths of k = "
            f"{lone:.6g}; the nearest is {apart.max():.6g} away: ask for larger k, or widen"
        )
    kept, standing = _thinned(lengths, 0.5 * width, most)
    n = n[kept]
    single = structure_factor(n)

    def isotropic_structure_factor(potential: Any, params: Any, state: Any) -> jax.Array:
        inverse = jnp.linalg.inv(jnp.asarray(state.cell))
        here = 2.0 * math.pi * jnp.linalg.norm(jnp.asarray(n, float) @ inverse.T, axis=1)
        away = (here[None] - k[:, None]) / width
        weights = standing[None] * jnp.exp(-0.5 * away**2)
        mean = weights @ single(potential, params, state) / jnp.sum(weights, axis=1)
        # |k| of what is not kept was above _SPARE * reach, and has shrunk by no more than this.
        least = 1.0 / jnp.linalg.norm(jnp.linalg.solve(cell, state.cell), ord=2)
        return jnp.where(_SPARE * least >= 1.0, 1.0, jnp.nan) * mean

    return isotropic_structure_factor


def _members(reference: System, pair: tuple[str, str] | None) -> tuple[np.ndarray, np.ndarray]:
    """(N,) 1.0 where a particle belongs to the first and to the second species."""
    if pair is None:
        return np.ones(reference.n_particles), np.ones(reference.n_particles)
    missing = [name for name in pair if name not in reference.species]
    if missing:
        raise InputError(
            f"pair_correlation: no particle is {missing[0]}; there are "
            f"{', '.join(reference.type_names)}"
        )
    species = np.asarray(reference.species)
    return (species == pair[0]).astype(float), (species == pair[1]).astype(float)


def _nearest(r: jax.Array, cell: jax.Array, wanted: jax.Array) -> jax.Array:
    """Lengths of vectors (..., d) to the nearest image; right up to half the smallest height."""
    images = jax.lax.stop_gradient(jnp.round(r @ jnp.linalg.inv(cell)))
    r = r - images @ cell
    return jnp.sqrt(jnp.where(wanted, jnp.sum(r**2, axis=-1), 1.0))


def _waves(cell: np.ndarray, longest: float) -> tuple[np.ndarray, np.ndarray]:
    """(n, lengths) one of each wave vector and its opposite up to a length, (M, d) and (M,)."""
    most = np.floor(longest * np.linalg.norm(cell, axis=1) / (2.0 * np.pi)).astype(int)
    n = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij"), axis=-1)
    n = n.reshape(-1, len(most))
    # Of n and -n the later in lexicographic order.
    n = n[len(n) // 2 + 1 :]
    lengths = 2.0 * np.pi * np.linalg.norm(n @ np.linalg.inv(cell).T, axis=1)
    return n[lengths <= longest], lengths[lengths <= longest]


def _thinned(lengths: np.ndarray, step: float, most: int | None) -> tuple[np.ndarray, np.ndarray]:
    """(kept, standing) of each stretch of lengths at most so many, and how many each of them is for."""
    kept, standing, rng = [], [], np.random.default_rng(0)
    shells = np.floor(lengths / step).astype(int)
    for shell in np.unique(shells):
        mine = np.flatnonzero(shells == shell)
        some = mine if most is None or len(mine) <= most else np.sort(rng.permutation(mine)[:most])
        kept.append(some)
        standing.append(np.full(len(some), len(mine) / len(some)))
    return np.concatenate(kept), np.concatenate(standing)


def _exponentials(multiples: np.ndarray, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Real and imaginary parts of exp(2 pi i m x), (M, N)."""
    phase = 2.0 * math.pi * jnp.asarray(multiples, float)[:, None] * x[None]
    return jnp.cos(phase), jnp.sin(phase)


def _surface(d: int) -> float:
    """Of the unit sphere in d dimensions."""
    return 2.0 * math.pi ** (d / 2) / math.gamma(d / 2)


def _require_periodic(system: System, name: str) -> None:
    if not all(system.pbc):
        raise InputError(f"{name}: the cell is not periodic in every direction; it has no density")
