"""What is asked for: observables with their shapes and units, parameters with theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from mdsens.catalogue import OBSERVABLES as CATALOGUE
from mdsens.catalogue import POTENTIALS
from mdsens.derivatives.kernels import state_of
from mdsens.derivatives.linearization import Linearization
from mdsens.derivatives.named import keys_of, select
from mdsens.errors import InputError
from mdsens.observables import OBSERVABLES
from mdsens.potentials import Potential
from mdsens.units import Dimension, label, ratio

Function = Callable[..., Any]


@dataclass(frozen=True)
class Request:
    """Observables by name and parameters by name, checked.

    Attributes:
        functions: f(potential, params, state) by name.
        theta: the parameter arrays to differentiate by.
        potential, params, units, dimension: of the system they belong to.
    """

    functions: dict[str, Function]
    theta: dict[str, Any]
    potential: Potential
    params: Any
    units: str
    dimension: int

    @property
    def differentiable(self) -> dict[str, Function]:
        return {
            n: f
            for n, f in self.functions.items()
            if n not in CATALOGUE or CATALOGUE[n].differentiable
        }

    def unit(self, observable: str) -> str:
        """Of an observable; a user's function is unknown to us and says so by "unknown"."""
        known = self._dimension(observable)
        return "unknown" if known is None else label(self.units, known)

    def parameter_unit(self, name: str) -> str:
        known = parameter_dimension(self.potential, name)
        return "unknown" if known is None else label(self.units, known)

    def derivative_unit(self, observable: str, parameter: str) -> str:
        above, below = self._dimension(observable), parameter_dimension(self.potential, parameter)
        if above is None or below is None:
            return "unknown"
        return label(self.units, ratio(above, below))

    def keys(self, parameter: str) -> tuple[str, ...] | None:
        return keys_of(self.params, parameter)

    def _dimension(self, observable: str) -> Dimension | None:
        entry = CATALOGUE.get(observable)
        return None if entry is None else entry.dimension(self.dimension)


def make_request(
    potential: Potential,
    params: Any,
    units: str,
    dimension: int,
    observables: Sequence[str | Function],
    wrt: Sequence[str],
    positions: bool,
) -> Request:
    """Check the names.

    Raises:
        InputError: an observable or parameter that does not exist; says which do.
    """
    functions: dict[str, Function] = {}
    for item in [*observables, *(["positions"] if positions else [])]:
        if isinstance(item, str) and item not in OBSERVABLES:
            raise InputError(f'observables: "{item}" is unknown; allowed: {", ".join(OBSERVABLES)}')
        name = item if isinstance(item, str) else item.__name__
        functions[name] = OBSERVABLES[item] if isinstance(item, str) else item
    return Request(functions, select(params, list(wrt)), potential, params, units, dimension)


def shape_of(line: Linearization, function: Function) -> tuple[int, ...]:
    """The shape of an observable, without computing it."""
    potential, params = line.problem.potential, line.setting.params
    state = state_of(line.problem, line.setting)
    return jax.eval_shape(lambda s: function(potential, params, s), state).shape


def parameter_dimension(potential: Potential, name: str) -> Dimension | None:
    """(energy power, length power) of a parameter; None for adopted jax-md energies."""
    *addend, short = name.split(".")
    kind = addend[0] if addend else potential.kind
    entry = POTENTIALS.get(kind.removesuffix("_2"))
    if entry is None:
        return None
    return {p.name: p.dimension for p in entry.parameters}[short]
