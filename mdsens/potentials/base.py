"""The one interface of all potentials.

E(params, positions, cell, neighbors) -> scalar. Parameters are always an explicit argument, a
pytree; a potential object holds options only. What a potential says about its locality, and nothing
else, gives forces, Hessian-vector products and the assembled sparse Hessian.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mdsens.neighbors import Pairs
from mdsens.system import System

Params = Any


class LocalHessian(NamedTuple):
    """Second derivatives term by term: H = sum_t blocks[t] scattered to its particles.

    Attributes:
        particles: (T, k) particles of each term.
        blocks: (T, k, k, d, d) d2 e_t / dx_a dx_b.
    """

    particles: jax.Array
    blocks: jax.Array


class Potential(ABC):
    """An energy function with named parameters."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """The name it has in a RUN.toml."""

    @abstractmethod
    def parameters(self, system: System, **given: Any) -> Params:
        """Checked parameters as float64 arrays: numbers (), Tables (n,), per particle (N,)."""

    @abstractmethod
    def cutoff(self, params: Params) -> jax.Array:
        """The largest distance at which anything interacts."""

    @abstractmethod
    def energy(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array:
        """Total potential energy, scalar."""

    def strained_energy(
        self,
        params: Params,
        positions: jax.Array,
        cell: jax.Array,
        neighbors: Pairs,
        strain: jax.Array,
    ) -> jax.Array:
        """Energy after the homogeneous deformation x -> x (1 + strain), h -> h (1 + strain)."""
        stretch = jnp.eye(cell.shape[0]) + strain
        return self.energy(params, positions @ stretch, cell @ stretch, neighbors)

    def local_hessian(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> LocalHessian | None:
        """Second derivatives by local terms, or None for a potential without known locality."""
        return None

    def contacts(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array | None:
        """(P,) True for touching pairs; None where touching has no meaning."""
        return None

    def __add__(self, other: Potential) -> Potential:
        from mdsens.potentials.sum import Sum

        return Sum(self, other)
