"""Potentials with angles, atom by atom, bond by bond, in plain Python; far too slow for anything else."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, permutations, product
from math import exp, pi, sin, sqrt
from typing import Any

import numpy as np

from mdsens.system import System, heights

Vector = tuple[float, float, float]
Parameters = Callable[[str, str, str], dict[str, float]]


def energy(style: str, given: dict[str, Any], system: System) -> float:
    """`style` as LAMMPS calls it."""
    of_atom = {"sw": stillinger_weber, "tersoff": tersoff, "edip/multi": edip}[style]

    def parameters(*triple: str) -> dict[str, float]:
        return {k: v["-".join(triple)] if isinstance(v, dict) else v for k, v in given.items()}

    around = [neighbors(system, i, 4.0) for i in range(system.n_particles)]
    pairs = zip(system.species, around, strict=True)
    return sum(of_atom(own, its, parameters) for own, its in pairs)


def neighbors(system: System, i: int, radius: float) -> list[tuple[str, Vector, float]]:
    """(species, vector, distance) of all images closer than the radius."""
    x, h = np.asarray(system.positions), np.asarray(system.cell)
    reach = np.ceil(radius / heights(h) + 1).astype(int)
    found = []
    for shift in product(*(range(-m, m + 1) for m in reach)):
        vectors = x - x[i] + np.array(shift) @ h
        for k, v in enumerate(vectors):
            r = sqrt(v @ v)
            if 1e-9 < r < radius:
                found.append((system.species[k], v, r))
    return found


def stillinger_weber(own: str, around: list, parameters: Parameters) -> float:
    total, sides = 0.0, []
    for name, v, r in around:
        p = parameters(own, name, name)
        full = reach = p["a"] * p["sigma"]
        if p.get("tol", 0.0) > 0.0:
            reach += min(p["gamma"], 1.0) * p["sigma"] / np.log(min(p["tol"], 0.01))
        if r < reach:
            x = p["sigma"] / r
            fade = exp(p["sigma"] / (r - full))
            total += 0.5 * p["A"] * p["epsilon"] * (p["B"] * x ** p["p"] - x ** p["q"]) * fade
            sides.append((name, v / r, exp(p["gamma"] * p["sigma"] / (r - full))))
    for (a, u, f), (b, w, g) in permutations(sides, 2):
        p = parameters(own, a, b)
        total += 0.5 * p["lambda"] * p["epsilon"] * (u @ w - p["costheta0"]) ** 2 * f * g
    return total


def tersoff(own: str, around: list, parameters: Parameters) -> float:
    def fade(r: float, p: dict[str, float]) -> float:
        if r < p["R"] - p["D"]:
            return 1.0
        return 0.5 - 0.5 * sin(0.5 * pi * (r - p["R"]) / p["D"]) if r < p["R"] + p["D"] else 0.0

    total = 0.0
    for j, (a, v, r) in enumerate(around):
        p = parameters(own, a, a)
        if fade(r, p) == 0.0:
            continue
        zeta = 0.0
        for k, (b, w, s) in enumerate(around):
            q = parameters(own, a, b)
            if k != j and fade(s, q) > 0.0:
                cosine = v @ w / (r * s)
                c2, d2 = q["c"] ** 2, q["d"] ** 2
                g = q["gamma"] * (1 + c2 / d2 - c2 / (d2 + (cosine - q["costheta0"]) ** 2))
                zeta += fade(s, q) * g * exp((q["lambda3"] * (r - s)) ** int(q["m"]))
        order = (1 + (p["beta"] * zeta) ** p["n"]) ** (-0.5 / p["n"])
        pair = p["A"] * exp(-p["lambda1"] * r) - order * p["B"] * exp(-p["lambda2"] * r)
        total += 0.5 * fade(r, p) * pair
    return total


def edip(own: str, around: list, parameters: Parameters) -> float:
    p = parameters(own, own, own)
    a, c = p["cutoffA"], p["cutoffC"]
    near = [(v / r, r) for _, v, r in around if r < a]
    z = sum(1.0 if r < c else exp(p["alpha"] / (1 - ((r - c) / (a - c)) ** -3)) for _, r in near)
    total = sum(
        p["A"] * ((p["B"] / r) ** p["rho"] - exp(-p["beta"] * z * z)) * exp(p["sigma"] / (r - a))
        for _, r in near
    )
    stiffness = p["Q0"] * exp(-p["mu"] * z)
    tau = p["u1"] + p["u2"] * (p["u3"] * exp(-p["u4"] * z) - exp(-2 * p["u4"] * z))
    for (u, r), (w, s) in combinations(near, 2):
        x = stiffness * (u @ w + tau) ** 2
        bend = p["lambda"] * (1 - exp(-x) + p["eta"] * x)
        total += bend * exp(p["gamma"] / (r - a)) * exp(p["gamma"] / (s - a))
    return total
