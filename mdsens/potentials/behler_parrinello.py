"""Neural networks that see an atom's surroundings through symmetry functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.errors import InputError
from mdsens.linear import require_float64
from mdsens.neighbors import Pairs, pair_list, surroundings
from mdsens.potentials.base import Params
from mdsens.potentials.site import AtomEnergy, Sites, geometry, of_sites
from mdsens.system import System

# Features that hardly vary in the data are not blown up by more than this.
_LEAST = 1e-3


@final
@dataclass(frozen=True)
class BehlerParrinello(Sites):
    """One small network per element, E = sum_i N_a(i)((G_i - center) / scale).

        G2(eta, s)             sum_j exp(-eta (r_ij - s)^2) f(r_ij)
        G4(eta, lambda, zeta)  2^(1 - zeta) sum_{j != k} (1 + lambda cos theta_jik)^zeta
                               exp(-eta (r_ij^2 + r_ik^2 + r_jk^2)) f(r_ij) f(r_ik) f(r_jk)
        f(r)                   (1 + cos(pi r / range)) / 2 below the range

    of neighbours of each element, and each pair of elements. Layers are `tanh(x w + b)`, the last one
    linear. f has kinks in its second derivative at the range: moduli are one-sided where a bond is
    exactly that long.

    Attributes:
        elements: all that ever occur.
        range: of the symmetry functions [length].
        radial: (eta, s) of each G2; angular: (eta, lambda, zeta) of each G4, zeta an integer.
        hidden: widths of the hidden layers.

    Parameters are {"weights": {element: [{"w", "b"}, ...]}, "center": {element: (F,)}, "scale":
    {element: (F,)}}; free in a fit are the weights.

    Source: Behler, Parrinello, doi:10.1103/PhysRevLett.98.146401; symmetry functions as in jax-md.
    """

    elements: tuple[str, ...]
    range: float
    radial: tuple[tuple[float, float], ...] = ()
    angular: tuple[tuple[float, float, int], ...] = ()
    hidden: tuple[int, ...] = (16, 16)

    @property
    def kind(self) -> str:
        return "behler_parrinello"

    @property
    def n_features(self) -> int:
        e = len(self.elements)
        return len(self.radial) * e + len(self.angular) * e * (e + 1) // 2

    @classmethod
    def usual(
        cls, elements: Sequence[str], range: float, *, hidden: Sequence[int] = (16, 16)
    ) -> BehlerParrinello:
        """Eight shells up to the range, and angles at three widths: good for a start."""
        shells = np.linspace(0.3, 0.95, 8) * range
        width = float(shells[1] - shells[0])
        radial = tuple((0.5 / width**2, float(s)) for s in shells)
        angular = tuple(
            (eta / range**2, lam, zeta)
            for eta in (0.5, 2.0) for lam in (-1.0, 1.0) for zeta in (1, 2, 4)
        )  # fmt: skip
        return cls(tuple(elements), range, radial, angular, tuple(hidden))

    def parameters(
        self, system: System, *, data: Sequence[System] = (), seed: int = 0, **given: Any
    ) -> Params:
        """Weights at random, and features centred on and scaled by those of the structures `data`, or
        of `system`.

        Raises:
            InputError: an element that is unknown or that no structure has, other names.
            Float32Error: 64-bit floats are off.
        """
        require_float64()
        if given:
            raise InputError(f"behler_parrinello: no parameter {', '.join(given)}; data and seed")
        rng = np.random.default_rng(seed)
        found: dict[str, list[np.ndarray]] = {name: [] for name in self.elements}
        for structure in data or [system]:
            features = self.features(structure)
            for name, row in zip(structure.species, features, strict=True):
                found[name].append(row)
        absent = [name for name, rows in found.items() if not rows]
        if absent:
            raise InputError(
                f"behler_parrinello: no {absent[0]} in the structures; give data with it"
            )
        columns = {name: np.array(rows) for name, rows in found.items()}
        params = {
            "weights": {name: self._drawn(rng) for name in self.elements},
            "center": {name: rows.mean(axis=0) for name, rows in columns.items()},
            "scale": {name: np.maximum(rows.std(axis=0), _LEAST) for name, rows in columns.items()},
        }
        return jax.tree.map(jnp.asarray, params)

    def features(self, system: System) -> np.ndarray:
        """(N, F) symmetry functions of all atoms of a structure."""
        pairs = pair_list(system, self.range)
        pairs = self.tabled({}, pairs, system.positions, system.cell)
        around = surroundings(pairs, jnp.asarray(system.positions), jnp.asarray(system.cell))
        order = self._order(pairs)

        def of(vectors: Any, present: Any, own: Any, types: Any) -> jax.Array:
            return self._features(vectors, present, order[types])

        return np.asarray(of_sites(of, around, pairs))

    def cutoff(self, params: Params) -> jax.Array:
        return jnp.asarray(float(self.range))

    def atom_energy(self, params: Params, neighbors: Pairs) -> AtomEnergy:
        order = self._order(neighbors)
        of_elements = [
            jax.tree.map(lambda *x: jnp.stack(x), *(params[part][name] for name in self.elements))
            for part in ("weights", "center", "scale")
        ]

        def of(vectors: Any, present: Any, own: Any, types: Any) -> jax.Array:
            weights, center, scale = jax.tree.map(lambda x: x[order[own]], of_elements)
            x = (self._features(vectors, present, order[types]) - center) / scale
            for layer in weights[:-1]:
                x = jnp.tanh(x @ layer["w"] + layer["b"])
            return (x @ weights[-1]["w"] + weights[-1]["b"])[0]

        return of

    def _order(self, neighbors: Pairs) -> jax.Array:
        """(T,) the element of each type."""
        unknown = [name for name in neighbors.type_names if name not in self.elements]
        if unknown:
            raise InputError(
                f"behler_parrinello: {unknown[0]} is none of its elements, {', '.join(self.elements)}"
            )
        return jnp.array([self.elements.index(name) for name in neighbors.type_names])

    def _features(self, vectors: Any, present: Any, element: Any) -> jax.Array:
        """(F,) of one atom with neighbours (K,)."""
        r, cosine, others = geometry(vectors, present)
        kinds = jax.nn.one_hot(element, len(self.elements), dtype=r.dtype)
        fade = jnp.where(present, self._fade(r), 0.0)
        shells = [jnp.exp(-eta * (r - s) ** 2) * fade @ kinds for eta, s in self.radial]
        squares = r[:, None] ** 2 + r[None, :] ** 2
        across = jnp.where(others, squares - 2.0 * r[:, None] * r[None, :] * cosine, 1.0)
        # Two images of one neighbour are never at one place; rounding may say so.
        across = jnp.maximum(across, 1e-12)
        faded = jnp.where(others, fade[:, None] * fade[None, :] * self._fade(jnp.sqrt(across)), 0.0)
        upper = jnp.triu_indices(len(self.elements))
        angles = []
        for eta, lam, zeta in self.angular:
            each = _angle(cosine, lam, zeta) * jnp.exp(-eta * (squares + across)) * faded
            angles.append((kinds.T @ each @ kinds)[upper])
        return jnp.concatenate([*shells, *angles])

    def _fade(self, r: jax.Array) -> jax.Array:
        return jnp.where(r < self.range, 0.5 + 0.5 * jnp.cos(jnp.pi * r / self.range), 0.0)

    def _drawn(self, rng: np.random.Generator) -> list[dict[str, np.ndarray]]:
        widths = (self.n_features, *self.hidden, 1)
        return [
            {"w": rng.standard_normal((a, b)) / np.sqrt(a), "b": np.zeros(b)}
            for a, b in pairwise(widths)
        ]


def _angle(cosine: jax.Array, lam: float, zeta: int) -> jax.Array:
    return 2.0 ** (1 - zeta) * jax.lax.integer_pow(1.0 + lam * cosine, zeta)
