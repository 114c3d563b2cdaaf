"""Embedded atoms by tables: what is in LAMMPS' *.eam.alloy and *.eam.fs files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.errors import InputError
from mdsens.neighbors import Pairs
from mdsens.parameters import Table
from mdsens.potentials.base import Params
from mdsens.potentials.embedded import Bonds, EmbeddedPotential
from mdsens.potentials.mixing import check_complete


@final
@dataclass(frozen=True)
class EAM(EmbeddedPotential, kind="eam"):
    """phi, f and F between knots, as LAMMPS has them between the knots of its files.

    Parameters, usually `potential.parameters(system, file="Cu.eam.alloy")`, are tables with one row of
    knots per entry, of the elements present:
        embedding  F at 0, drho, 2 drho, ...  [energy], by element
        density    f at 0, dr, 2 dr, ...; by element "A", or by ordered pair "A-B": what A gives to B
        pair       r phi at 0, dr, 2 dr, ...  [energy length], by pair "A-B"
        drho, dr, cutoff
    and E is linear in `pair`, and in `embedding` at fixed densities; all knots are differentiable.

    Between knots a cubic with the knots' values, and slopes from differences over four (at the ends two
    or three) knots around: continuous forces, while moduli jump at knots by an amount that falls with
    dr^2. Beyond the last rho F goes on as a straight line; densities and pairs end at `cutoff`.

    Source: Daw, Baskes, doi:10.1103/PhysRevB.29.6443; Finnis, Sinclair, doi:10.1080/01418618408244210;
    interpolation of LAMMPS pair_style eam.
    """

    def cutoff(self, params: Params) -> jax.Array:
        return jnp.asarray(params["cutoff"])

    def bonds(self, params: Params, neighbors: Pairs) -> Callable[[jax.Array], Bonds]:
        check_complete(self.entry, self.options, params)
        pair = _Functions(params["pair"], _pairs("pair", params["pair"], neighbors.type_names))
        density = _Functions(
            params["density"], _ordered("density", params["density"], neighbors.type_names)
        )
        a, b = neighbors.types[neighbors.i], neighbors.types[neighbors.j]
        dr, cutoff = params["dr"], params["cutoff"]

        def of(r: jax.Array) -> Bonds:
            near = r < cutoff
            place = _place(r / dr, pair.knots)
            r_phi = pair(a, b, *place)
            to_j = density(a, b, *place)
            to_i = to_j if density.symmetric else density(b, a, *place)
            return Bonds(*(jnp.where(near, x, 0.0) for x in (r_phi / r, to_i, to_j)))

        return of

    def embedding(self, params: Params, neighbors: Pairs) -> Callable[[jax.Array], jax.Array]:
        function = _Functions(
            params["embedding"], _ordered("embedding", params["embedding"], neighbors.type_names)
        )
        types = neighbors.types

        def of(rho: jax.Array) -> jax.Array:
            x = rho / params["drho"]
            place, t = _place(x, function.knots)
            end = function.knots - 1.0
            _, slope = jax.jvp(
                lambda t: function(types, types, place, t), (t,), (jnp.ones_like(t),)
            )
            return function(types, types, place, t) + jnp.maximum(x - end, 0.0) * slope

        return of


class _Functions:
    """Cubics between the knots of several functions, which of them by (T, T) `index` of two types."""

    def __init__(self, table: Table, index: np.ndarray):
        self.knots = table.values.shape[1]
        self.symmetric = bool(np.all(index == index.T))
        self.index = index
        self.coefficients = _cubics(table.values).reshape(-1, 4)

    def __call__(self, a, b, place: jax.Array, t: jax.Array) -> jax.Array:
        """The value at a fraction t of the way from knot `place`, for types a, b."""
        if self.index.size > 1:
            place = place + self.knots * jnp.asarray(self.index)[a, b]
        c = self.coefficients.at[place].get(mode="promise_in_bounds", wrap_negative_indices=False)
        return c[:, 0] + t * (c[:, 1] + t * (c[:, 2] + t * c[:, 3]))


def _place(x: jax.Array, knots: int) -> tuple[jax.Array, jax.Array]:
    """The knot below x, but never the last, and the fraction of the way to the next, at most 1."""
    below = jnp.clip(jnp.floor(x), 0.0, knots - 2.0)
    return below.astype(jnp.int32), jnp.minimum(x - below, 1.0)


def _cubics(f: jax.Array) -> jax.Array:
    """(..., K, 4) coefficients from (..., K) knots; behind the last knot nobody looks."""
    inner = ((f[..., :-4] - f[..., 4:]) + 8.0 * (f[..., 3:-1] - f[..., 1:-3])) / 12.0
    ends = [f[..., 1] - f[..., 0], 0.5 * (f[..., 2] - f[..., 0])]
    far_ends = [0.5 * (f[..., -1] - f[..., -3]), f[..., -1] - f[..., -2]]
    slope = jnp.concatenate(
        [jnp.stack(ends, axis=-1), inner, jnp.stack(far_ends, axis=-1)], axis=-1
    )
    rise = jnp.diff(f, axis=-1, append=f[..., -1:])
    following = jnp.concatenate([slope[..., 1:], slope[..., -1:]], axis=-1)
    square, cube = 3.0 * rise - 2.0 * slope - following, slope + following - 2.0 * rise
    return jnp.stack([f, slope, square, cube], axis=-1)


def _pairs(name: str, table: Table, type_names: tuple[str, ...]) -> np.ndarray:
    """(T, T) the row of each pair, in whichever order it is named."""
    return _index(
        name, table, [[_either(a, b, table.keys) for b in type_names] for a in type_names]
    )


def _ordered(name: str, table: Table, type_names: tuple[str, ...]) -> np.ndarray:
    """(T, T) the row of what a gives to b: that of "a-b", or of a alone."""
    if "-".join(2 * type_names[:1]) in table.keys:
        return _index(name, table, [[f"{a}-{b}" for b in type_names] for a in type_names])
    return _index(name, table, [[a for _ in type_names] for a in type_names])


def _either(a: str, b: str, keys: tuple[str, ...]) -> str:
    return f"{a}-{b}" if f"{a}-{b}" in keys else f"{b}-{a}"


def _index(name: str, table: Table, wanted: list[list[str]]) -> np.ndarray:
    missing = [key for row in wanted for key in row if key not in table.keys]
    if missing:
        raise InputError(
            f"{name}: no entry for {missing[0]}; make parameters with potential.parameters(system, ...)"
        )
    return np.array([[table.keys.index(key) for key in row] for row in wanted], dtype=np.int32)
