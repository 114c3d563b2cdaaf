"""What can be read off a relaxed structure, by name.

a, b, c                     lengths of the cell vectors of the structure as it is given
volume_per_atom, energy_per_atom, cohesive_energy (its negative), pressure
bulk_modulus, shear_modulus as in `mdsens.observables`
C11 ... C66                 stiffness, Voigt; C44_clamped: with the atoms clamped
phonon                      frequency at a wave vector q (fractional), branch counted from 0
distance, angle             of two and three atoms, by the images that were nearest at the start; of
                            equally near ones those that the coordinates as given make
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens import observables
from mdsens.errors import InputError
from mdsens.potentials import Potential
from mdsens.system import System
from mdsens.vibrations import phonon_frequencies

NAMES = (
    "a", "b", "c", "volume_per_atom", "energy_per_atom", "cohesive_energy", "pressure",
    "bulk_modulus", "shear_modulus", "C11 ... C66", "C11_clamped ... C66_clamped", "phonon",
    "distance", "angle",
)  # fmt: skip

# Relative: distances as equal as eight decimals of the coordinates in a file can say.
_TIE = 1e-6


@dataclass(frozen=True)
class Reading:
    """One number of a relaxed state.

    Attributes:
        label: its name.
        kind: of quantity, a key of `mdsens.units.UNITS`, or "number".
        quantity: (potential, params, state) -> array; equal ones are computed once.
        place: where in that array the number is.
        factor: by which it is multiplied.
    """

    label: str
    kind: str
    quantity: Callable[[Potential, Any, Any], jax.Array]
    place: tuple[int, ...] = ()
    factor: float = 1.0


def reading(
    name: str,
    system: System,
    *,
    q: Sequence[float] | None = None,
    branch: int | None = None,
    atoms: Sequence[int] | None = None,
) -> Reading:
    """The reading of a name, for a structure.

    Args:
        q, branch: of "phonon".
        atoms: of "distance" (two) and "angle" (three, the second in the corner).

    Raises:
        InputError: an unknown name, or arguments that are missing, too many or out of range.
    """
    _check_arguments(name, system, q, branch, atoms)
    elastic = re.fullmatch(r"C([1-6])([1-6])(_clamped)?", name)
    if elastic:
        size = system.dimension * (system.dimension + 1) // 2
        place = int(elastic[1]) - 1, int(elastic[2]) - 1
        if max(place) >= size:
            raise InputError(f"{name}: in {system.dimension}D the last is C{size}{size}")
        clamped = elastic[3] is not None
        tensor = observables.elastic_tensor_clamped if clamped else observables.elastic_tensor
        return Reading(name, "modulus", tensor, place)
    if name in "abc":
        return Reading(name, "length", _lengths, ("abc".index(name),))
    if name in ("energy_per_atom", "cohesive_energy"):
        sign = 1.0 if name == "energy_per_atom" else -1.0
        return Reading(name, "energy", observables.energy, (), sign / system.n_particles)
    if name == "volume_per_atom":
        return Reading(name, "volume", observables.volume, (), 1.0 / system.n_particles)
    if name in ("pressure", "bulk_modulus", "shear_modulus"):
        return Reading(name, "modulus", getattr(observables, name))
    if name == "phonon":
        assert q is not None and branch is not None
        point = tuple(float(x) for x in q)
        label = f"phonon {branch} at ({', '.join(f'{x:g}' for x in point)})"
        return Reading(label, "frequency", _Phonons(point, system.units), (branch,))
    assert atoms is not None
    label = f"{name} {'-'.join(map(str, atoms))}"
    what = _Path(tuple(atoms), tuple(map(tuple, _nearest(system, atoms))))
    return Reading(label, "angle" if name == "angle" else "length", what)


def read_all(
    readings: Sequence[Reading], potential: Potential, params: Any, state: Any
) -> jax.Array:
    """(m,) all readings of one state."""
    known = {q: q(potential, params, state) for q in dict.fromkeys(r.quantity for r in readings)}
    return jnp.stack([r.factor * jnp.asarray(known[r.quantity])[r.place] for r in readings])


def _lengths(potential: Potential, params: Any, state: Any) -> jax.Array:
    return jnp.linalg.norm(state.cell, axis=1)


@dataclass(frozen=True)
class _Phonons:
    q: tuple[float, ...]
    units: str

    def __call__(self, potential: Potential, params: Any, state: Any) -> jax.Array:
        return phonon_frequencies(potential, params, state, np.array(self.q), units=self.units)


@dataclass(frozen=True)
class _Path:
    """The distance of two atoms, or the angle of three in degrees.

    Attributes:
        images: of each atom, those that are nearest to the one before.
    """

    atoms: tuple[int, ...]
    images: tuple[tuple[int, ...], ...]

    def __call__(self, potential: Potential, params: Any, state: Any) -> jax.Array:
        corners = state.positions[np.array(self.atoms)]
        corners = corners + np.array(self.images, float) @ state.cell
        steps = jnp.diff(corners, axis=0)
        if len(self.atoms) == 2:
            return jnp.linalg.norm(steps[0])
        back, on = -steps[0], steps[1]
        cosine = back @ on / (jnp.linalg.norm(back) * jnp.linalg.norm(on))
        return jnp.degrees(jnp.arccos(cosine))


def _nearest(system: System, atoms: Sequence[int]) -> np.ndarray:
    """(atoms, d) the images of a chain of atoms, each the nearest to the one before.

    Of several that are as near, the one that is shifted least against the one before: with coordinates
    that are half a cell apart, the step between them as they are given.
    """
    cell, pbc = np.asarray(system.cell), np.asarray(system.pbc)
    fractional = np.asarray(system.positions)[list(atoms)] @ np.linalg.inv(cell)
    around = np.stack(np.meshgrid(*[(-1, 0, 1)] * len(pbc), indexing="ij"), -1).reshape(
        -1, len(pbc)
    )
    images = [np.zeros(len(pbc), int)]
    for before, after in pairwise(fractional):
        step = after - before - images[-1]
        home = np.where(pbc, -np.round(step), 0.0)
        near = home + np.where(pbc, around, 0)
        apart = np.linalg.norm((step + near) @ cell, axis=1)
        tied = near[apart <= apart.min() * (1.0 + _TIE)]
        least = np.argmin(np.abs(tied - images[-1]).sum(axis=1))
        images.append(tied[least].astype(int))
    return np.array(images)


def _check_arguments(
    name: str, system: System, q: Any, branch: int | None, atoms: Sequence[int] | None
) -> None:
    wanted = {"phonon": {"q", "branch"}, "distance": {"atoms"}, "angle": {"atoms"}}.get(name, set())
    plain = name in NAMES or re.fullmatch(r"C[1-6][1-6](_clamped)?", name)
    if not plain:
        raise InputError(f'"{name}" is no property of a crystal; allowed: {", ".join(NAMES)}')
    given = {k for k, v in (("q", q), ("branch", branch), ("atoms", atoms)) if v is not None}
    if given != wanted:
        what = ", ".join(sorted(wanted)) or "neither q, branch nor atoms"
        raise InputError(f"{name}: takes {what}; give just that")
    n, d = system.n_particles, system.dimension
    if q is not None and (len(q) != d or not np.isfinite(q).all()):
        raise InputError(f"{name}: q = {list(q)} has to be {d} finite numbers")
    if branch is not None and not 0 <= branch < n * d:
        raise InputError(f"{name}: branch {branch} is none of 0 to {n * d - 1}")
    if atoms is not None:
        count = 2 if name == "distance" else 3
        if len(atoms) != count or not all(0 <= i < n for i in atoms):
            raise InputError(f"{name}: atoms = {list(atoms)} have to be {count} of 0 to {n - 1}")
