"""Single numbers that a fit should meet, with their units."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdsens.errors import InputError, NotConverged
from mdsens.fitting.targets import Outcome, Target


@dataclass(frozen=True)
class Wanted:
    """One number that should be met.

    Attributes:
        label: its name.
        value, sigma: what it should be, and the standard deviation of that, in `units`.
        scale: one of these units in those of the potential.
        at: of a point of a curve, whose label all its points share: where it is.
    """

    label: str
    value: float
    sigma: float
    units: str = ""
    scale: float = 1.0
    at: float | None = None

    @property
    def full_label(self) -> str:
        return self.label if self.at is None else f"{self.label} at {self.at:g}"


class Properties(Target, ABC):
    """Base of targets whose numbers are wanted one by one.

    Attributes:
        readings: m.
    """

    readings: Sequence[Wanted]

    def __post_init__(self) -> None:
        if not self.readings:
            raise InputError(f"{self.name}: nothing is wanted of it; give at least one value")
        for r in self.readings:
            if not (np.isfinite(r.value) and 0.0 < r.sigma < np.inf):
                raise InputError(
                    f"{self.name}: {r.full_label}: value {r.value:g} and sigma {r.sigma:g}; both must be "
                    "finite, and sigma positive"
                )

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(f"{r.full_label} of {self.name}" for r in self.readings)

    @property
    def wanted(self) -> np.ndarray:
        return np.array([r.value for r in self.readings])

    @property
    def sigma(self) -> np.ndarray:
        return np.array([r.sigma for r in self.readings])

    def outcome(self, found: Any, jacobian: Any, memory: tuple[np.ndarray, ...]) -> Outcome:
        """From values (m,) and derivatives (m, k) in units of the potential.

        Raises:
            NotConverged: one of them is no number.
        """
        found, jacobian = np.asarray(found), np.asarray(jacobian)
        bad = np.flatnonzero(~np.isfinite(found) | ~np.isfinite(jacobian).all(axis=1))
        if bad.size:
            raise NotConverged(f"{self.labels[bad[0]]} is no number")
        scale = np.array([r.scale for r in self.readings])
        return Outcome(found / scale, jacobian / scale[:, None], memory)
