"""Derivatives without units: by how many per cent an observable changes for one per cent of a parameter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mdsens.parameters import Table
from mdsens.result import Derivative, Result

MOST_COMPONENTS = 36  # of an observable; longer ones are curves
SAME = 1e-6  # relative; components of a symmetric crystal's tensors are equal by symmetry
ZERO = 1e-8  # of the largest component
NO_EFFECT = 1e-9  # less is rounding


@dataclass(frozen=True)
class Effect:
    """d ln o / d ln theta of one component of an observable by one parameter.

    Attributes:
        observable: the component, such as "C44".
        parameter: its name, with the key of a table entry; of particles' own values all alike.
        value: relative change over relative change.
        error: one standard deviation where the derivative has one, else None.
    """

    observable: str
    parameter: str
    value: float
    error: float | None


def effects(result: Result) -> tuple[list[Effect], list[str]]:
    """All of a result that are not zero, and the names of components that are zero and have none.

    Components that are equal and depend alike on everything are told once, particles' own parameters
    as if all grew by the same share.
    """
    told, without = [], []
    for observable, derivatives in result.sensitivity.items():
        if observable == "positions" or observable not in result.observables:
            continue
        value = np.asarray(result.observables[observable], dtype=float)
        if value.size > MOST_COMPONENTS:
            continue
        slopes = dict(_slopes(result, value, derivatives))
        for place in _distinct(observable, value, slopes):
            name = component(observable, place, value.shape)
            largest = max((abs(s[place]) for s, _ in slopes.values()), default=0.0)
            if abs(value[place]) <= SAME * largest:
                without.append(name)
                continue
            for parameter, (slope, error) in slopes.items():
                share = float(slope[place] / value[place])
                bar = None if error is None else float(abs(error[place] / value[place]))
                if abs(share) > NO_EFFECT:
                    told.append(Effect(name, parameter, share, bar))
    return told, without


def component(observable: str, place: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """The usual name of a component: C44, stress xy, cell b_x; else by its indices."""
    if not shape:
        return observable
    if observable.startswith("elastic_tensor"):
        kind = observable.removeprefix("elastic_tensor").strip("_")
        name = "C" + "".join(str(k + 1) for k in place)
        return f"{name} {kind}".strip()
    if observable == "stress":
        return "stress " + "".join("xyz"[k] for k in place)
    if observable == "cell":
        return f"cell {'abc'[place[0]]}_{'xyz'[place[1]]}"
    return f"{observable}[{', '.join(map(str, place))}]"


def _slopes(
    result: Result, value: np.ndarray, derivatives: Mapping[str, Derivative]
) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray | None]]]:
    """theta do/dtheta, and its error, in the shape of the observable, for every entry."""
    for name, d in derivatives.items():
        theta = result.parameters[name]
        number = np.asarray(theta, dtype=float)
        slope = np.asarray(d.value, dtype=float)
        error = None if d.error is None else np.asarray(d.error, dtype=float)
        if number.ndim == 0:
            yield name, (number * slope, None if error is None else np.abs(number) * error)
        elif isinstance(theta, Table) and number.ndim == 1:
            for k, key in enumerate(theta.keys):
                bar = None if error is None else np.abs(number[k]) * error[..., k]
                yield f"{name}[{key}]", (number[k] * slope[..., k], bar)
        elif slope.shape == value.shape + number.shape and error is None:
            axes = tuple(range(value.ndim, slope.ndim))
            yield f"{name}, all alike", (np.sum(slope * number, axis=axes), None)


def _distinct(observable: str, value: np.ndarray, slopes: dict) -> list[tuple[int, ...]]:
    """Places of components that are not zero and not equal to an earlier one."""
    scale = np.max(np.abs(value), initial=0.0)
    found: list[tuple[tuple[int, ...], np.ndarray]] = []
    for place in np.ndindex(value.shape):
        mirrored = value.ndim == 2 and observable != "cell" and place[0] > place[1]
        if mirrored or (value.ndim and abs(value[place]) <= ZERO * scale):
            continue
        row = np.array([value[place], *(s[place] for s, _ in slopes.values())])
        if not any(np.allclose(row, other, rtol=SAME, atol=SAME * scale) for _, other in found):
            found.append((place, row))
    return [place for place, _ in found]
