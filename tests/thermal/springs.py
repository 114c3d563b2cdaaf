"""A harmonic crystal with closed forms for everything."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.potentials import Potential
from mdsens.system import System
from tests.examples import make


@dataclass(frozen=True, eq=False)
class Springs(Potential):
    """U = (k/2) sum over springs |u_j - u_i|^2 - b sum_i w_i . u_i, u = x - sites.

    With sum_i w_i = 0 the centre of mass is free. About the minimum u_0 = (b/k) L^+ w the covariance
    of u without its mean is (k_B T / k) L^+ in each direction, L the graph's Laplacian.
    """

    sites: Any
    springs: Any
    pattern: Any

    @property
    def uses_pairs(self) -> bool:
        return False

    @property
    def kind(self) -> str:
        return "springs"

    def parameters(self, system: System, **given: Any) -> Any:
        return {name: jnp.asarray(value, float) for name, value in given.items()}

    def cutoff(self, params: Any) -> jax.Array:
        return jnp.zeros(())

    def energy(self, params: Any, positions: Any, cell: Any, neighbors: Any) -> jax.Array:
        u = positions - jnp.asarray(self.sites)
        i, j = self.springs
        stretched = jnp.sum((u[j] - u[i]) ** 2)
        return 0.5 * params["k"] * stretched - params["b"] * jnp.sum(jnp.asarray(self.pattern) * u)

    @cached_property
    def inverse(self) -> np.ndarray:
        """L^+, (N, N)."""
        n = len(self.sites)
        laplacian = np.zeros((n, n))
        for i, j in zip(*self.springs, strict=True):
            laplacian[[i, j], [i, j]] += 1.0
            laplacian[[i, j], [j, i]] -= 1.0
        return np.linalg.pinv(laplacian)

    def mean_squares(self, k: Any, b: Any, kt: float) -> Any:
        """<sum_i |u_i - mean u|^2> = d kt tr(L^+)/k + (b/k)^2 |L^+ w|^2, as JAX likes it."""
        pulled = float(np.sum((self.inverse @ self.pattern) ** 2))
        d = self.sites.shape[1]
        return d * kt * float(np.trace(self.inverse)) / k + (b / k) ** 2 * pulled


def squares(potential: Springs, params: Any, state: Any) -> jax.Array:
    u = state.positions - jnp.asarray(potential.sites)
    return jnp.sum((u - jnp.mean(u, axis=0, keepdims=True)) ** 2)


def ring(n: int = 6, d: int = 2) -> tuple[Springs, System]:
    """n sites, springs between neighbours and next neighbours around a ring."""
    angle = 2.0 * np.pi * np.arange(n) / n
    sites = np.zeros((n, d))
    sites[:, 0], sites[:, 1] = 3.0 * np.cos(angle), 3.0 * np.sin(angle)
    near = np.arange(n)
    ends = np.concatenate([near, near]), np.concatenate([(near + 1) % n, (near + 2) % n])
    pattern = np.zeros((n, d))
    pattern[0, 0], pattern[n // 2, 0] = 1.0, -1.0
    system = make(sites, 20.0 * np.eye(d), (True,) * d)
    return Springs(sites, ends, pattern), system
