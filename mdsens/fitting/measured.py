"""Properties of relaxed structures as targets: any JAX function of parameters through `relax`.

The derivatives are total: those of relaxed positions and cells come from the implicit function
theorem. Each evaluation begins where the last one ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import KDTree

from mdsens.derivatives import sensitivity
from mdsens.errors import DerivativeUndefined, NotConverged
from mdsens.fitting.space import Space
from mdsens.fitting.targets import Outcome, of_potential
from mdsens.fitting.wanted import Properties, Wanted
from mdsens.parameters import restricted
from mdsens.potentials import Potential
from mdsens.state import Configuration
from mdsens.system import System

# What may be lost on the way to a relaxed state before it counts as another one: strain apart from that
# of volume, the factor by which the volume changes, and the displacement of a particle as a fraction of
# the distance between particles. A crystal that grows by a quarter of its length is still that crystal.
_STRAIN, _SWELLING, _DISPLACEMENT = 0.25, 3.0, 0.4

# Where forward derivatives by so many parameters per value are dearer than backward ones.
_BACKWARD = 20

States = Sequence[Configuration]
Measure = Callable[[Potential, Any, Sequence[System]], tuple[jax.Array, States]]


@dataclass(frozen=True, eq=False)
class Measured(Properties):
    """m properties of one or a few related systems.

    Attributes:
        name: for messages.
        systems: the starts.
        measure: (potential, params, systems) -> (values (m,), states), differentiable in params;
            `states` are the relaxed systems in the order of `systems`, for the next evaluation to
            begin with. Those that should begin anew each time may be left out from the end.
        readings: m.
        watched: whether to refuse states that are no longer those that were started from.
    """

    name: str
    systems: Sequence[System]
    measure: Measure
    readings: Sequence[Wanted]
    watched: bool = True

    def evaluate(
        self, potential: Potential, space: Space, u: np.ndarray, memory: tuple[np.ndarray, ...] = ()
    ) -> Outcome:
        starts = _resumed(self.systems, memory)
        present = tuple(sorted({name for s in self.systems for name in s.type_names}))

        def values(u: jax.Array) -> tuple[jax.Array, Any]:
            params = restricted(of_potential(space.params(u)), present)
            found, states = self.measure(potential, params, starts)
            places = [(s.positions, s.cell) for s in states]
            return found, jax.lax.stop_gradient((found, places))

        # A relaxation is linearised once; a parameter costs one more right-hand side forward, a value
        # backward.
        slope = jax.jacfwd if len(u) <= _BACKWARD * len(self.readings) else jax.jacrev
        jacobian, (found, places) = slope(values, has_aux=True)(jnp.asarray(u))
        memory = tuple(np.asarray(x) for place in places for x in place)
        try:
            outcome = self.outcome(found, jacobian, memory)
        except NotConverged:
            params = restricted(of_potential(space.params(u)), present)
            _check_stable(self.name, potential, params, _resumed(self.systems, memory))
            raise
        if self.watched:
            _check_basins(self.name, self.systems, memory)
        return outcome


def _resumed(systems: Sequence[System], memory: tuple[np.ndarray, ...]) -> list[System]:
    """The starts, moved to where they were last."""
    known = len(memory) // 2
    moved = [
        replace(system, positions=memory[2 * k], cell=memory[2 * k + 1])
        for k, system in enumerate(systems[:known])
    ]
    return [*moved, *systems[known:]]


def _check_stable(name: str, potential: Potential, params: Any, systems: Sequence[System]) -> None:
    """Raise DerivativeUndefined where a state, in its cell, is no stable minimum."""
    for system in systems:
        try:
            sensitivity(potential, params, system, observables=["energy"], wrt=[])
        except DerivativeUndefined as error:
            raise DerivativeUndefined(f"{name}: {system.source}: {error}") from None


def _check_basins(name: str, systems: Sequence[System], memory: tuple[np.ndarray, ...]) -> None:
    """Raise NotConverged where a state is not what it was meant to be any more."""
    for k, system in enumerate(systems[: len(memory) // 2]):
        positions, cell = memory[2 * k], memory[2 * k + 1]
        deformation = np.linalg.solve(np.asarray(system.cell), cell)
        swelling = abs(np.linalg.det(deformation))
        shape = deformation / swelling ** (1.0 / len(cell))
        strain = float(np.linalg.norm(shape - np.eye(len(cell)), ord=2))
        if any(system.pbc) and strain > _STRAIN:
            raise NotConverged(
                f"{name}: {system.source} left its basin: the cell was strained by {strain:.2g}"
            )
        if any(system.pbc) and not 1.0 / _SWELLING < swelling < _SWELLING:
            raise NotConverged(
                f"{name}: {system.source} left its basin: its volume is {swelling:.2g} times that of "
                "the start"
            )
        moved = positions - np.asarray(system.positions) @ deformation
        moved = np.linalg.norm(moved - moved.mean(axis=0), axis=1)
        far = moved / _spacing(system)
        if far.max() > _DISPLACEMENT:
            i = int(far.argmax())
            raise NotConverged(
                f"{name}: {system.source} left its basin: particle {i} moved by {moved[i]:.3g}"
            )


def _spacing(system: System) -> float:
    """The mean distance of a particle from its nearest one, images in cells next to its own among these;
    infinite for one particle alone."""
    cell = np.asarray(system.cell)
    places = np.asarray(system.positions) @ np.linalg.inv(cell)
    places = np.where(system.pbc, places % 1.0, places)
    images = np.array(list(product(*((-1, 0, 1) if p else (0,) for p in system.pbc))))
    everyone = (places + images[:, None]).reshape(-1, len(cell)) @ cell
    near, _ = KDTree(everyone).query(places @ cell, k=2)
    return float(near[:, 1].mean())
