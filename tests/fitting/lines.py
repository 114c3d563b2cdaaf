"""Targets that are straight lines or curves in the parameters a, b, c: no atoms, closed forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mdsens.errors import NotConverged
from mdsens.fitting import Outcome, Target


@dataclass(frozen=True, eq=False)
class Curve(Target):
    """values = f(theta), derivatives slope(theta); cannot be evaluated where `breaks(theta)`.

    theta are all parameters in alphabetical order, free or not.
    """

    name: str
    f: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]
    goal: np.ndarray
    bars: np.ndarray
    breaks: Callable[[np.ndarray], bool] = lambda theta: False

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(f"{self.name} {k}" for k in range(len(self.goal)))

    @property
    def wanted(self) -> np.ndarray:
        return self.goal

    @property
    def sigma(self) -> np.ndarray:
        return self.bars

    def evaluate(self, potential, space, u, memory=()) -> Outcome:
        names = sorted(space.base)
        theta = np.array([float(space.base[name]) for name in names])
        free = [names.index(label) for label in space.labels]
        theta[free] = space.theta(u)
        if self.breaks(theta):
            raise NotConverged(f"{self.name} does not relax at {theta}")
        return Outcome(self.f(theta), self.slope(theta)[:, free] * space.slope(u))


def line(matrix: np.ndarray, wanted: np.ndarray, sigma: np.ndarray, **more) -> Curve:
    return Curve("line", lambda t: matrix @ t, lambda t: matrix, wanted, sigma, **more)


class Sticky(Target):
    """The value a^2, wanted 2.9^2; beyond a = 3 another state is found, which is larger by 25 and never
    left again."""

    name = "sticky"
    labels = ("square",)
    wanted = np.array([2.9**2])
    sigma = np.ones(1)

    def evaluate(self, potential, space, u, memory=()) -> Outcome:
        a = float(space.theta(u)[0])
        other = bool(memory and memory[0]) or a > 3.0
        return Outcome(
            np.array([a**2 + 25.0 * other]), 2.0 * a * space.slope(u)[None], (np.array(other),)
        )
