"""Pair potentials: E = sum over pairs e(r_ij; p_ij), one half-list entry per pair.

A pair parameter p_ij comes from a number, a table per pair of species, or per-particle (or
per-species) values, which mix by the arithmetic mean p_ij = (p_i + p_j)/2. A half list counts each
pair once: dE/dp of a number is the sum of de/dp over pairs.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from mdsens.catalogue import POTENTIALS, PotentialEntry
from mdsens.errors import InputError
from mdsens.linear import require_float64
from mdsens.neighbors import Pairs
from mdsens.parameters import Table, active_parameters, check_keys, index_matrix, resolve
from mdsens.potentials.base import Blocks, LocalHessian, Params, Potential
from mdsens.system import System

jax.tree_util.register_dataclass(Table, data_fields=["values"], meta_fields=["keys"])


@dataclass(frozen=True)
class PairPotential(Potential):
    """Base of pair potentials; a subclass gives `pair_energy` and `range`."""

    entry: ClassVar[PotentialEntry]

    def __init_subclass__(cls, kind: str = "", **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if kind:
            cls.entry = POTENTIALS[kind]

    @property
    def kind(self) -> str:
        return self.entry.kind

    @property
    def is_local(self) -> bool:
        return True

    @property
    def options(self) -> dict[str, str]:
        return {name: getattr(self, name) for name, _ in self.entry.options}

    @abstractmethod
    def pair_energy(self, p: dict[str, jax.Array], r: jax.Array) -> jax.Array:
        """e(r) of pairs, element by element; finite with finite derivatives for every r > 0."""

    @abstractmethod
    def range(self, p: dict[str, Any]) -> Any:
        """The distance beyond which e(r) = 0, from pair (or unmixed) parameters."""

    def parameters(self, system: System, **given: Any) -> Params:
        require_float64()
        resolved = resolve(self.entry, self.options, system, given)
        return jax.tree.map(jnp.asarray, resolved)

    def cutoff(self, params: Params) -> jax.Array:
        # `range` is increasing in every length, and means never exceed the largest value.
        return jnp.max(self.range({k: jnp.max(_values(v)) for k, v in params.items()}))

    def reach(self, params: Params, neighbors: Pairs) -> jax.Array:
        return jnp.broadcast_to(self.range(self._mixed(params, neighbors)), neighbors.valid.shape)

    def energy(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array:
        r = neighbors.distances(positions, cell)
        e = self.pair_energy(self._mixed(params, neighbors), r)
        return jnp.sum(jnp.where(neighbors.valid, e, 0.0))

    def gradient(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array:
        """Sum over pairs of e' n on j and -e' n on i, n = r_ij/r; in 3D in two thirds of the time that
        differentiating the energy takes."""
        p = self._mixed(params, neighbors)
        rows = neighbors.rows(positions, cell)
        r = neighbors.lengths(rows)
        slope = _derivative(lambda x: self.pair_energy(p, x))(r)
        pull = jnp.where(neighbors.valid, slope / r, 0.0)[:, None] * rows
        return neighbors.net(pull)[:, : positions.shape[1]]

    def local_hessian(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> LocalHessian:
        """Blocks [[K, -K], [-K, K]], K = e'' n n^T + (e'/r)(1 - n n^T), n = r_ij/r."""
        vectors = neighbors.vectors(positions, cell)
        r = jnp.sqrt(jnp.sum(vectors**2, axis=1))
        p = self._mixed(params, neighbors)
        slope = _derivative(lambda x: self.pair_energy(p, x))
        first, second = slope(r), _derivative(slope)(r)
        first = jnp.where(neighbors.valid, first, 0.0) / r
        second = jnp.where(neighbors.valid, second, 0.0)
        n = vectors / r[:, None]
        outer = n[:, :, None] * n[:, None, :]
        identity = jnp.eye(vectors.shape[1])[None]
        k = second[:, None, None] * outer + first[:, None, None] * (identity - outer)
        signs = jnp.array([[1.0, -1.0], [-1.0, 1.0]])[None, :, :, None, None]
        ends = jnp.stack([neighbors.i, neighbors.j], axis=1)
        return (Blocks(ends, signs * k[:, None, None]),)

    def contacts(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array | None:
        if not self.entry.knows_contacts:
            return None
        r = neighbors.distances(positions, cell)
        return neighbors.valid & (r < self.range(self._mixed(params, neighbors)))

    def pair_forces(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array:
        p = self._mixed(params, neighbors)
        slope = _derivative(lambda x: self.pair_energy(p, x))
        r = neighbors.distances(positions, cell)
        return jnp.where(neighbors.valid, -slope(r), 0.0)

    def _mixed(self, params: Params, neighbors: Pairs) -> dict[str, jax.Array]:
        """Pair parameters, () or (P,)."""
        known = active_parameters(self.entry, self.options)
        missing = {p.name for p in known} - set(params)
        if missing:
            raise InputError(
                f"{self.kind}: parameters lack {', '.join(sorted(missing))}; make them with "
                "potential.parameters(system, ...)"
            )
        return {name: _mix(name, value, neighbors) for name, value in params.items()}


def _mix(name: str, value: Any, neighbors: Pairs) -> jax.Array:
    i, j = neighbors.i, neighbors.j
    if isinstance(value, Table):
        check_keys(name, value.keys, neighbors.type_names)
        index = index_matrix(value.keys, neighbors.type_names)
        a, b = neighbors.types[i], neighbors.types[j]
        if index is not None:
            return jnp.asarray(value.values)[jnp.asarray(index)[a, b]]
        order = jnp.array([value.keys.index(t) for t in neighbors.type_names])
        per_type = jnp.asarray(value.values)[order]
        return 0.5 * (per_type[a] + per_type[b])
    if jnp.ndim(value) == 0:
        return jnp.asarray(value)
    if jnp.shape(value) != (len(neighbors.types),):
        raise InputError(
            f"{name}: shape {jnp.shape(value)}; one number, one per particle "
            f"({len(neighbors.types)},), or a Table per species pair"
        )
    return 0.5 * (value[i] + value[j])


def _values(value: Any) -> Any:
    return value.values if isinstance(value, Table) else value


def _derivative(f):
    """d/dr of an element-wise function."""
    return lambda r: jax.jvp(f, (r,), (jnp.ones_like(r),))[1]
