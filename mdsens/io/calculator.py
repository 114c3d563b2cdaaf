"""Any mdsens potential as an ASE calculator: ASE's optimisers, filters, NEB, phonons and MD run on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import ase
import jax
import jax.numpy as jnp
import numpy as np
from ase.calculators import calculator
from ase.stress import full_3x3_to_voigt_6_stress

from mdsens.errors import InputError
from mdsens.io.structures import from_atoms
from mdsens.neighbors import NoPairs, Pairs, pair_list
from mdsens.observables import stress
from mdsens.potentials import Potential
from mdsens.state import Configuration
from mdsens.system import System


class Calculator(calculator.Calculator):
    """Energy, forces and stress of a potential, for ASE.

        atoms.calc = Calculator(LennardJones(), {"epsilon": 0.0104, "sigma": 3.4, "cutoff": 8.5})

    Parameters are resolved for the Atoms that come, and again when their species change, or columns
    that parameters are named after (ASE takes no notice of columns: call `reset()`). The neighbour
    list is kept with a skin, and renewed when atoms may have come closer than it knows; all periodic
    images are summed. Energies and forces are in the units of the parameters (eV and angstrom for
    ASE's own tools), stress is ASE's: Voigt order xx, yy, zz, yz, xz, xy, positive in tension. In 2D
    (see `read`) there are no forces along z. Stress, and so a filter that moves the cell, needs three
    periodic directions. Constraints are ASE's business: they do not change what is computed.

    Args:
        potential: any mdsens potential.
        parameters: keywords of `potential.parameters(system, ...)`: numbers, tables, names of
            columns, `file`; or what that returned, or was fitted.
        dimension: 2 or 3; inferred from the Atoms if None, as by `read`.
        skin: extra radius of the neighbour list, as a fraction of the cutoff.

    Raises:
        InputError: when a property is asked for: Atoms or parameters cannot be used, or the energy is
            no number.
        Float32Error: 64-bit floats are off.
        PropertyNotImplementedError: stress where it has no meaning.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(
        self,
        potential: Potential,
        parameters: Mapping[str, Any],
        *,
        dimension: int | None = None,
        skin: float = 0.15,
    ):
        super().__init__()
        self._potential, self._given = potential, dict(parameters)
        self._dimension, self._skin = dimension, skin
        self._resolved_for: Any = None
        self._params: Any = None
        self._pairs: Pairs | None = None

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(calculator.all_changes),
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None  # ASE's own methods hand atoms over
        free = self.atoms.copy()
        free.set_constraint()
        system = from_atoms(free, dimension=self._dimension)
        self._resolve(system)
        state = self._listed(system)
        energy, forces = _energy_and_forces(self._potential, self._params, state)
        if not np.isfinite(energy):
            raise InputError(
                f"Calculator: the energy is {float(energy)}; two atoms coincide, or the list of an "
                "adopted jax-md energy has overflowed"
            )
        padded = np.zeros((system.n_particles, 3))
        padded[:, : system.dimension] = forces
        self.results |= {
            "energy": float(energy), "free_energy": float(energy), "forces": padded,
        }  # fmt: skip
        if "stress" in properties:
            self.results["stress"] = self._stress(system, state)

    def _resolve(self, system: System) -> None:
        columns = [system.columns[name] for name in _words(self._given) if name in system.columns]
        key = (system.species, system.pbc, *(np.asarray(c).tobytes() for c in columns))
        if key != self._resolved_for:
            self._params = self._potential.parameters(system, **self._given)
            self._resolved_for, self._pairs = key, None

    def _listed(self, system: System) -> Configuration:
        """The state, with the list that was there if it still holds."""
        x, h = jnp.asarray(system.positions), jnp.asarray(system.cell)
        if self._pairs is None or not bool(
            _holds(self._potential, self._params, self._pairs, x, h)
        ):
            self._pairs = self._new_list(system)
        return Configuration(x, h, self._pairs, system.pbc)

    def _new_list(self, system: System) -> Pairs:
        if not self._potential.uses_pairs:
            return NoPairs().build(system)
        old = self._pairs
        radius = float(self._potential.cutoff(self._params)) * (1.0 + self._skin)
        pairs = pair_list(system, radius, 0 if old is None else len(old.valid))
        pairs = jax.tree.map(jnp.asarray, pairs)
        new = self._potential.tabled(self._params, pairs, system.positions, system.cell)
        # A table that does not shrink, for compiled code to be used again.
        width = 0 if old is None or old.table is None else old.table.shape[1]
        return new.widened(0, width)

    def _stress(self, system: System, state: Configuration) -> np.ndarray:
        if system.dimension != 3 or not all(system.pbc):
            raise calculator.PropertyNotImplementedError(
                "stress needs a cell that is periodic in three directions"
            )
        return full_3x3_to_voigt_6_stress(np.asarray(stress(self._potential, self._params, state)))


def _words(given: Mapping[str, Any]) -> Iterator[str]:
    """The values that are text, in parameters of sums too."""
    for value in given.values():
        if isinstance(value, Mapping):
            yield from _words(value)
        elif isinstance(value, str):
            yield value


@partial(jax.jit, static_argnums=0)
def _energy_and_forces(potential: Potential, params: Any, s: Configuration) -> tuple[Any, Any]:
    here = (params, s.positions, s.cell, s.neighbors)
    return potential.energy(*here), -potential.gradient(*here)


@partial(jax.jit, static_argnums=0)
def _holds(
    potential: Potential, params: Any, pairs: Pairs, x: jax.Array, h: jax.Array
) -> jax.Array:
    return pairs.holds_for(x, h, potential.cutoff(params))
