"""The answer of a fit as data. No JAX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdsens.parameters import Table

KINDS = ("energy", "force", "stress")


@dataclass(frozen=True, eq=False)
class TargetRecord:
    """What one target wanted and got.

    Attributes:
        name: of the target.
        labels: of its m numbers; of labelled structures their kinds; all points of a curve have one.
        units: of each.
        wanted, sigma, start, value, predicted_sigma: (m,).
        at: (m,) where on its curve a number is; NaN for those of no curve.
    """

    name: str
    labels: tuple[str, ...]
    units: tuple[str, ...]
    wanted: np.ndarray
    sigma: np.ndarray
    start: np.ndarray
    value: np.ndarray
    predicted_sigma: np.ndarray
    at: np.ndarray

    @property
    def single(self) -> list[int]:
        """The places of numbers that are told one by one: not of labelled structures, nor of curves."""
        return [
            k for k, name in enumerate(self.labels) if name not in KINDS and np.isnan(self.at[k])
        ]

    @property
    def groups(self) -> dict[str, np.ndarray]:
        """The places of all others, by label."""
        rest = np.setdiff1d(np.arange(len(self.labels)), self.single)
        names = np.array(self.labels)[rest]
        return {str(name): rest[names == name] for name in dict.fromkeys(names)}

    @property
    def curves(self) -> dict[str, np.ndarray]:
        """The places of points of curves, by label."""
        return {name: mine for name, mine in self.groups.items() if name not in KINDS}


@dataclass(frozen=True, eq=False)
class FitRecord:
    """All that is told of a fit; names as in the file."""

    potential: str
    parameters: Mapping[str, np.ndarray | Table]
    labels: tuple[str, ...]
    free: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]
    targets: tuple[TargetRecord, ...]
    history: tuple[Mapping[str, np.ndarray], ...]
    provenance: Mapping[str, Any]

    @property
    def untold(self) -> tuple[str, ...]:
        """Parameters without bars: the targets say nothing of them where the fit ended."""
        return tuple(self.labels[k] for k in np.flatnonzero(np.isinf(self.free["sigma"])))


def not_told(labels: Sequence[str]) -> str:
    """What to do about parameters that the targets do not tell."""
    remedy = "fix it" if len(labels) == 1 else "fix one of them"
    return (
        f"the targets do not tell {', '.join(labels)} where the fit ended; {remedy}, give it a prior, or "
        "add a target"
    )
