"""Targets that are straight lines or curves in the parameters themselves: no atoms, closed forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.errors import NotConverged
from mdsens.fitting import Outcome, Target


@dataclass(frozen=True, eq=False)
class Curve(Target):
    """values = f(all parameters); cannot be evaluated where `breaks(theta)`."""

    name: str
    f: Callable[[Any], Any]
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
        def theta(u):
            return jnp.stack(jax.tree.leaves(space.params(u)))

        if self.breaks(np.asarray(theta(u))):
            raise NotConverged(f"{self.name} does not relax at {theta(u)}")

        @jax.jit
        def both(u):
            def f(u):
                return self.f(theta(u))

            return f(u), jax.jacfwd(f)(u)

        kept = self._compiled.setdefault(space.labels, both) if False else both
        return Outcome(*map(np.asarray, kept(np.asarray(u))))


def line(matrix: np.ndarray, wanted: np.ndarray, sigma: np.ndarray, **more: Any) -> Curve:
    return Curve("line", lambda theta: matrix @ theta, wanted, sigma, **more)
