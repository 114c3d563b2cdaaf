"""What a fit is judged by: a target says its residuals and their derivatives for given parameters.

r_i = (value_i(theta) - wanted_i) / sigma_i
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from mdsens.fitting.space import Space
from mdsens.potentials import Potential


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a target says.

    Attributes:
        values: (m,) in the target's units.
        jacobian: (m, k) d values / d u, total derivatives.
        memory: what a later call with nearby parameters starts from; arrays.
    """

    values: np.ndarray
    jacobian: np.ndarray
    memory: tuple[np.ndarray, ...] = ()


# From values (m,) to the derivative of a sum by each of them (m,).
Weigh = Callable[[np.ndarray], np.ndarray]


class Target(ABC):
    """m numbers that a fit should meet.

    Attributes:
        name: what it is called in messages and tables.
    """

    name: str

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """m names."""

    @property
    @abstractmethod
    def wanted(self) -> np.ndarray:
        """(m,) what the values should be."""

    @property
    @abstractmethod
    def sigma(self) -> np.ndarray:
        """(m,) how far they may be off: standard deviations."""

    @abstractmethod
    def evaluate(
        self, potential: Potential, space: Space, u: np.ndarray, memory: tuple[np.ndarray, ...]
    ) -> Outcome:
        """Values and derivatives at u (k,).

        Args:
            memory: of an earlier outcome, or ().

        Raises:
            MdsensError: there are none, for a reason that is told.
        """

    def values(self, potential: Potential, space: Space, u: np.ndarray) -> np.ndarray:
        """(m,) the values alone."""
        return self.evaluate(potential, space, u, ()).values

    def pulled(
        self,
        potential: Potential,
        space: Space,
        u: np.ndarray,
        memory: tuple[np.ndarray, ...],
        weigh: Weigh,
    ) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
        """Values (m,), the derivative of their weighted sum by u (k,), and the memory."""
        found = self.evaluate(potential, space, u, memory)
        return found.values, found.jacobian.T @ weigh(found.values), found.memory


def rows_of(targets: Sequence[Target]) -> list[slice]:
    """Where the residuals of each target stand among those of all."""
    ends = np.cumsum([0, *(len(t.wanted) for t in targets)])
    return [slice(a, b) for a, b in pairwise(ends)]


# The name of a Table per species among the parameters that no potential knows.
ENERGY_SHIFT = "energy_shift"


def has_shift(params: Any) -> bool:
    return isinstance(params, dict) and ENERGY_SHIFT in params


def of_potential(params: Any) -> Any:
    """The parameters that the potential knows."""
    if not has_shift(params):
        return params
    return {name: value for name, value in params.items() if name != ENERGY_SHIFT}
