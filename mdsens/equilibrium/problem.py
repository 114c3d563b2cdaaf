"""What is minimised: the energy (or enthalpy) of positions and strain around a reference.

    W(z; params) = E(x, h) + p V(h),   z = (u, e)
    x = (x_ref + u)(1 + eps(e)),   h = h_ref (1 + eps(e))

u are N d displacements; e are strains in units of length, so that one tolerance and one time step
fit all of z. With a fixed cell there is no e.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.neighbors import Pairs
from mdsens.potentials import Potential


@dataclass(frozen=True, eq=False)
class Setting:
    """Everything W depends on besides z; a pytree.

    Attributes:
        params: parameters of the potential.
        positions, cell: the reference (N, d), (d, d).
        fixed: (N,) particles that do not move.
        pressure: target pressure; used where the cell is free.
        neighbors: pair list valid around the reference.
    """

    params: Any
    positions: Any
    cell: Any
    fixed: Any
    pressure: Any
    neighbors: Pairs


jax.tree_util.register_dataclass(
    Setting,
    data_fields=["params", "positions", "cell", "fixed", "pressure", "neighbors"],
    meta_fields=[],
)


@dataclass(frozen=True)
class Problem:
    """The static part: potential, periodic directions, which strains are free.

    `cell_mode` is "fixed", "isotropic" (one strain) or "full" (symmetric strains of the periodic
    directions).
    """

    potential: Potential
    pbc: tuple[bool, ...]
    cell_mode: str = "fixed"

    @property
    def dimension(self) -> int:
        return len(self.pbc)

    def strain_basis(self) -> np.ndarray:
        """(m, d, d) orthonormal symmetric strains."""
        d = self.dimension
        if self.cell_mode == "fixed":
            return np.zeros((0, d, d))
        if self.cell_mode == "isotropic":
            return np.eye(d)[None] / np.sqrt(d)
        return np.array([_symmetric(d, a, b) for a in range(d) for b in range(a, d)])

    def start(self, setting: Setting) -> jax.Array:
        """z = 0, (N d + m,)."""
        n, d = setting.positions.shape
        return jnp.zeros(n * d + len(self.strain_basis()))

    def strain_unit(self, setting: Setting) -> jax.Array:
        """The length that one unit of strain is worth: sqrt(N) times V^(1/d) / N^(1/d), a particle
        spacing that does not depend on the list."""
        n, d = setting.positions.shape
        return jnp.sqrt(n) * (jnp.abs(jnp.linalg.det(setting.cell)) / n) ** (1.0 / d)

    def strain(self, z: jax.Array, setting: Setting) -> jax.Array:
        """eps(e), (d, d)."""
        n, d = setting.positions.shape
        e = z[n * d :] / jax.lax.stop_gradient(self.strain_unit(setting))
        return jnp.tensordot(e, jnp.asarray(self.strain_basis()), axes=1)

    def configuration(self, z: jax.Array, setting: Setting) -> tuple[jax.Array, jax.Array]:
        """(x, h) at z."""
        n, d = setting.positions.shape
        x = setting.positions + z[: n * d].reshape(n, d)
        if self.cell_mode == "fixed":
            return x, setting.cell
        stretch = jnp.eye(d) + self.strain(z, setting)
        return x @ stretch, setting.cell @ stretch

    def objective(self, z: jax.Array, setting: Setting) -> jax.Array:
        """W(z), scalar."""
        n, d = setting.positions.shape
        x = setting.positions + z[: n * d].reshape(n, d)
        s = setting
        if self.cell_mode == "fixed":
            return self.potential.energy(s.params, x, s.cell, s.neighbors)
        strain = self.strain(z, setting)
        energy = self.potential.strained_energy(s.params, x, s.cell, s.neighbors, strain)
        return energy + s.pressure * jnp.abs(jnp.linalg.det(s.cell @ (jnp.eye(d) + strain)))

    def gradient(self, z: jax.Array, setting: Setting) -> jax.Array:
        """dW/dz with the components of fixed particles set to zero, (N d + m,)."""
        return self.free(setting) * self._slope(z, setting)

    def _slope(self, z: jax.Array, setting: Setting) -> jax.Array:
        """dW/dz of all, (N d + m,)."""
        if self.cell_mode != "fixed":
            return jax.grad(self.objective)(z, setting)
        x, cell = self.configuration(z, setting)
        return self.potential.gradient(setting.params, x, cell, setting.neighbors).reshape(-1)

    def hessian_product(self, z: jax.Array, setting: Setting, v: jax.Array) -> jax.Array:
        """(d2W/dz2) v."""
        return jax.jvp(lambda y: self._slope(y, setting), (z,), (v,))[1]

    def free(self, setting: Setting) -> jax.Array:
        """(N d + m,) 1.0 where z may move."""
        n, d = setting.positions.shape
        moving = jnp.repeat(1.0 - jnp.asarray(setting.fixed, float), d)
        return jnp.concatenate([moving, jnp.ones(len(self.strain_basis()))])

    def residual(self, gradient: jax.Array, setting: Setting) -> jax.Array:
        """The convergence measure at z = 0: the largest force component, and with a free cell also
        max |stress - target| V^(1/d)."""
        n, d = setting.positions.shape
        force = jnp.max(jnp.abs(gradient[: n * d]), initial=0.0)
        if self.cell_mode == "fixed":
            return force
        per_strain = gradient[n * d :] * self.strain_unit(setting)
        excess = jnp.tensordot(per_strain, jnp.asarray(self.strain_basis()), axes=1)
        volume = jnp.abs(jnp.linalg.det(setting.cell))
        return jnp.maximum(force, jnp.max(jnp.abs(excess)) * volume ** (1.0 / d - 1.0))


def spacing(setting: Setting) -> jax.Array:
    """A length typical of neighbouring particles: L / N^(1/d), L the extent, or the mean distance
    to the nearest listed neighbour if that is shorter; 1 where neither exists."""
    n, d = setting.positions.shape
    pairs = setting.neighbors
    spread = jnp.max(jnp.ptp(setting.positions, axis=0)) / n ** (1.0 / d)
    spread = jnp.where(spread > 0.0, spread, jnp.inf)
    r = jnp.linalg.norm(pairs.vectors(setting.positions, setting.cell), axis=1)
    r = jnp.where(pairs.valid, r, jnp.inf)
    nearest = jnp.full(n, jnp.inf).at[pairs.i].min(r).at[pairs.j].min(r)
    near = jnp.isfinite(nearest)
    mean = jnp.sum(jnp.where(near, nearest, 0.0)) / jnp.maximum(jnp.sum(near), 1)
    length = jnp.minimum(spread, jnp.where(jnp.any(near), mean, jnp.inf))
    return jnp.where(jnp.isfinite(length), length, 1.0)


def _symmetric(d: int, a: int, b: int) -> np.ndarray:
    basis = np.zeros((d, d))
    basis[a, b] = basis[b, a] = 1.0 if a == b else np.sqrt(0.5)
    return basis
