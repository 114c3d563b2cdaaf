"""Energies, forces and stresses of structures that somebody else has computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import jax
import numpy as np

from mdsens.errors import InputError
from mdsens.fit_record import KINDS
from mdsens.fitting.prediction import (
    Group,
    grouped,
    prediction_size,
    predictions,
    reach,
    slope,
    slopes,
)
from mdsens.fitting.space import Space
from mdsens.fitting.targets import (
    ENERGY_SHIFT,
    Outcome,
    Target,
    Weigh,
    has_shift,
    of_potential,
)
from mdsens.parameters import Table
from mdsens.potentials import Potential
from mdsens.system import System


@dataclass(frozen=True, eq=False)
class Labels:
    """What is known of one structure; None where it is not.

    Attributes:
        energy: of all particles, ().
        forces: (N, d).
        stress: (d, d), positive in tension.
    """

    energy: float | None = None
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None


class _Rows(NamedTuple):
    """Of each value: its kind and structure, place in that structure's prediction, what is wanted,
    and sigma."""

    kind: np.ndarray
    structure: np.ndarray
    place: np.ndarray
    wanted: np.ndarray
    sigma: np.ndarray


class _Numbers(NamedTuple):
    """Which of all numbers, and where they stand: structure of a group, place in its prediction."""

    number: np.ndarray
    structure: np.ndarray
    place: np.ndarray


@dataclass(frozen=True, eq=False)
class Labelled(Target):
    """Energies per particle, force components and stress components of structures.

    With `energy_shift`, a Table per species among the parameters, that is added to the energy of each
    particle: first principles count energies from another zero than potentials do.

    Attributes:
        name: of the data.
        systems, data: the structures and what is known of them.
        energy, forces, stress: standard deviations, of the energy per particle, a force component and
            a stress component; infinite ones leave the kind out.

    Raises:
        InputError: nothing to compare with; labels whose shapes are not those of the structure, or that
            are not finite; stresses of structures that are not periodic in all directions. Labels that
            do not count may be anything.
    """

    name: str
    systems: Sequence[System]
    data: Sequence[Labels]
    energy: float = 1e-3
    forces: float = 0.05
    stress: float = np.inf
    _groups: dict[Any, list[Group]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if len(self.systems) != len(self.data):
            raise InputError(
                f"{self.name}: {len(self.systems)} structures and {len(self.data)} sets of labels; "
                "give one set for each"
            )
        if not len(self.wanted):
            raise InputError(
                f"{self.name}: no energies, forces or stresses to compare with; give structures with "
                "labels, and finite deviations for them"
            )

    @property
    def labels(self) -> tuple[str, ...]:
        rows = zip(self._rows.kind, self._rows.structure, strict=True)
        return tuple(f"{KINDS[kind]} of {self.name}[{k}]" for kind, k in rows)

    @property
    def kinds(self) -> np.ndarray:
        """(m,) the place in KINDS of each value."""
        return self._rows.kind

    @property
    def wanted(self) -> np.ndarray:
        return self._rows.wanted

    @property
    def sigma(self) -> np.ndarray:
        return self._rows.sigma

    def evaluate(
        self, potential: Potential, space: Space, u: np.ndarray, memory: tuple[np.ndarray, ...] = ()
    ) -> Outcome:
        params = space.params(u)
        tangents = jax.vmap(lambda e: jax.jvp(space.params, (u,), (e,))[1])(np.eye(space.size))
        values, jacobian = np.zeros(len(self.wanted)), np.zeros((len(self.wanted), space.size))
        for rows, group in self._numbers(potential, params):
            given = (of_potential(params), of_potential(tangents), group.frames)
            found, by_u = slopes(potential, *given)
            values[rows.number] = found[rows.structure, rows.place]
            jacobian[rows.number] = by_u[rows.structure, :, rows.place]
        energies = self._rows.kind == 0
        values[energies] += self._shifts(params)
        jacobian[energies] += self._shifts(tangents).T
        return Outcome(values, jacobian)

    def values(self, potential: Potential, space: Space, u: np.ndarray) -> np.ndarray:
        params, values = space.params(u), np.zeros(len(self.wanted))
        for rows, group in self._numbers(potential, params):
            found = predictions(potential, of_potential(params), group.frames)
            values[rows.number] = found[rows.structure, rows.place]
        values[self._rows.kind == 0] += self._shifts(params)
        return values

    def pulled(
        self,
        potential: Potential,
        space: Space,
        u: np.ndarray,
        memory: tuple[np.ndarray, ...],
        weigh: Weigh,
    ) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
        params, pull = jax.vjp(space.params, u)
        values = self.values(potential, space, u)
        weights = weigh(values)
        by_params = []
        for rows, group in self._numbers(potential, params):
            padded = np.zeros((len(group.places), prediction_size(group.frames)))
            padded[rows.structure, rows.place] = weights[rows.number]
            by_params.append(slope(potential, of_potential(params), padded, group.frames))
        total = jax.tree.map(lambda *parts: sum(parts), *by_params)
        if has_shift(params):
            energies = self._rows.kind == 0
            each = np.zeros(len(self.systems))
            np.add.at(each, self._rows.structure[energies], weights[energies])
            table = params[ENERGY_SHIFT]
            total[ENERGY_SHIFT] = Table(self._share(table.keys) @ each, table.keys)
        (gradient,) = pull(total)
        return values, np.asarray(gradient), ()

    def shares(self, species: Sequence[str]) -> np.ndarray:
        """(E, species) of each energy: what part of its structure each of them is."""
        return self._share(species).T[self._rows.structure[self._rows.kind == 0]]

    def part(self, name: str, places: Sequence[int]) -> Labelled:
        """Some of the structures."""
        return Labelled(
            name, [self.systems[k] for k in places], [self.data[k] for k in places],
            self.energy, self.forces, self.stress,
        )  # fmt: skip

    def _numbers(self, potential: Potential, params: Any) -> Iterator[tuple[_Numbers, Group]]:
        """The groups of structures, and where their numbers stand in predictions and among all."""
        radius = reach(potential, of_potential(params))
        key = (potential, radius)
        if key not in self._groups:
            self._groups.clear()
            self._groups[key] = grouped(potential, self.systems, radius)
        k, at = self._rows.structure, self._rows.place
        for group in self._groups[key]:
            row = np.full(len(self.systems), -1)
            row[list(group.places)] = np.arange(len(group.places))
            mine = np.flatnonzero(row[k] >= 0)
            size, d = prediction_size(group.frames), group.frames.positions.shape[2]
            # Stresses come last, behind the forces on ghosts.
            ghosts = size - d * d - 1 - d * group.frames.count[row[k[mine]]]
            place = at[mine] + np.where(self._rows.kind[mine] == 2, ghosts, 0)
            yield _Numbers(mine, row[k[mine]], place), group

    def _shifts(self, params: Any) -> np.ndarray:
        """(..., E) what is added to each energy per particle; zero without a shift."""
        if not has_shift(params):
            return np.zeros(1)
        table = params[ENERGY_SHIFT]
        each = np.asarray(table.values) @ self._share(table.keys)
        return each[..., self._rows.structure[self._rows.kind == 0]]

    def _share(self, species: Sequence[str]) -> np.ndarray:
        """(species, S) what part of each structure they are."""
        return np.array(
            [[s.species.count(name) / s.n_particles for s in self.systems] for name in species]
        )

    @cached_property
    def _rows(self) -> _Rows:
        parts = [
            part
            for k, (system, data) in enumerate(zip(self.systems, self.data, strict=True))
            for part in self._of(k, system, data)
        ]
        if not parts:
            return _Rows(*np.zeros((3, 0), int), *np.zeros((2, 0)))
        return _Rows(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _of(self, k: int, system: System, data: Labels) -> Iterator[tuple[np.ndarray, ...]]:
        """The rows of one structure, kind by kind; labels that do not count are not looked at."""
        n, d = system.n_particles, system.dimension
        a, b = np.triu_indices(d)
        energy = None if data.energy is None else data.energy / n
        for kind, label, sigma, shape, chosen, first in (
            (0, energy, self.energy, (), np.zeros(1, int), 0),
            (1, data.forces, self.forces, (n, d), np.arange(n * d), 1),
            (2, data.stress, self.stress, (d, d), a * d + b, 1 + n * d),
        ):
            if label is None or not np.isfinite(sigma):
                continue
            where = f"{self.name}: structure {k}: {KINDS[kind]}"
            if kind == 2 and not all(system.pbc):
                raise InputError(
                    f"{where}: has no meaning where the cell is not periodic in all directions; leave "
                    "out the structure or the deviation of stresses"
                )
            wanted, ones = _checked(where, label, shape).ravel()[chosen], np.ones(len(chosen), int)
            yield kind * ones, k * ones, first + chosen, wanted, sigma * ones


def _checked(where: str, label: Any, shape: tuple[int, ...]) -> np.ndarray:
    values = np.asarray(label, dtype=float)
    if values.shape != shape:
        raise InputError(
            f"{where}: of shape {values.shape} where {shape} is needed; correct the data"
        )
    if not np.isfinite(values).all():
        raise InputError(f"{where}: not finite; correct the label or leave out the structure")
    return values
