"""Embedded atoms once more, from their equations, in NumPy alone; complex numbers differentiate them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mdsens.system import System
from tests.potentials import pairwise


def zhou(given: dict[str, Any]):
    """(phi(a, b, r), f(a, r), F(a, rho)) from {name: {species: value}} and a number, the cutoff."""

    def value(name: str, a: str):
        entry = given[name]
        return entry[a] if isinstance(entry, dict) else entry

    def faded(a: str, r, decay: str, end: str):
        x = r / value("r_e", a)
        return np.exp(-value(decay, a) * (x - 1)) / (1 + (x - value(end, a)) ** 20)

    def f(a: str, r):
        return value("f_e", a) * faded(a, r, "beta", "lambda")

    def own(a: str, r):
        repulsion = value("A", a) * faded(a, r, "alpha", "kappa")
        return repulsion - value("B", a) * faded(a, r, "beta", "lambda")

    def phi(a: str, b: str, r):
        if a == b:
            return own(a, r)
        return (f(b, r) / f(a, r) * own(a, r) + f(a, r) / f(b, r) * own(b, r)) / 2

    def embedding(a: str, rho):
        rho_e = value("rho_e", a)
        rho_n, rho_0 = rho_e * value("rho_n_ratio", a), rho_e * value("rho_0_ratio", a)
        if rho.real < rho_n.real:
            return sum(value(f"F_n{k}", a) * (rho / rho_n - 1) ** k for k in range(4))
        if rho.real < rho_0.real:
            last = "F_3_above" if rho.real > rho_e.real and "F_3_above" in given else "F_3"
            names = ["F_0", "F_1", "F_2", last]
            return sum(value(n, a) * (rho / rho_e - 1) ** k for k, n in enumerate(names))
        x = rho / value("rho_s", a)
        return value("F_e", a) * (1 - value("eta", a) * np.log(x)) * x ** value("eta", a)

    return phi, lambda b, a, r: f(b, r), embedding


def _of_pair(given: dict[str, Any]):
    def value(name: str, a: str, b: str):
        return pairwise.of_pair(given[name], 0, 1, (a, b))

    return value


def finnis_sinclair(given: dict[str, Any]):
    value = _of_pair(given)

    def phi(a: str, b: str, r):
        c = value("c", a, b)
        c0, c1, c2 = (value(f"c{k}", a, b) for k in range(3))
        return np.where(r.real < c.real, (r - c) ** 2 * (c0 + c1 * r + c2 * r**2), 0)

    def density(b: str, a: str, r):
        d, big, beta = value("d", a, b), value("A", a, b), value("beta", a, b)
        inside = (r - d) ** 2 + beta * (r - d) ** 3 / d
        return np.where(r.real < d.real, big**2 * inside, 0)

    return phi, density, lambda a, rho: -np.sqrt(rho)


def gupta(given: dict[str, Any]):
    value = _of_pair(given)

    def switch(a: str, b: str, r):
        if "onset" not in given:
            return 1
        on, off = value("onset", a, b), value("cutoff", a, b)
        s = (off**2 - r**2) ** 2 * (off**2 + 2 * r**2 - 3 * on**2) / (off**2 - on**2) ** 3
        return np.where(r.real < on.real, 1, s)

    def phi(a: str, b: str, r):
        x = r / value("r0", a, b) - 1
        return 2 * value("A", a, b) * np.exp(-value("p", a, b) * x) * switch(a, b, r)

    def density(b: str, a: str, r):
        x = r / value("r0", a, b) - 1
        return value("xi", a, b) ** 2 * np.exp(-2 * value("q", a, b) * x) * switch(a, b, r)

    return phi, density, lambda a, rho: -np.sqrt(rho)


def spline(f: np.ndarray, x: Any):
    """The curve through knots at 0, 1, 2, ... at one place x: cubics with slopes from differences."""
    n = len(f)
    k = int(np.clip(np.floor(x.real), 0, n - 2))

    def slope(m: int):
        if m in (0, n - 1):
            return f[1] - f[0] if m == 0 else f[-1] - f[-2]
        if m in (1, n - 2):
            return (f[m + 1] - f[m - 1]) / 2
        return (f[m - 2] - 8 * f[m - 1] + 8 * f[m + 1] - f[m + 2]) / 12

    t = x - k if x.real <= n - 1 else 1.0
    # Hermite's basis.
    return (
        (1 + 2 * t) * (1 - t) ** 2 * f[k]
        + t * (1 - t) ** 2 * slope(k)
        + t**2 * (3 - 2 * t) * f[k + 1]
        + t**2 * (t - 1) * slope(k + 1)
        + (x - (n - 1)) * slope(n - 1) * (x.real > n - 1)
    )


def tables(given: dict[str, Any]):
    def at(row, r):
        return np.array([spline(row, x) for x in np.atleast_1d(r / given["dr"])])

    def phi(a: str, b: str, r):
        row = given["pair"].get(f"{a}-{b}", given["pair"].get(f"{b}-{a}"))
        return at(row, r) / r

    def density(b: str, a: str, r):
        return at(given["density"].get(f"{b}-{a}", given["density"].get(b)), r)

    return phi, density, lambda a, rho: spline(given["embedding"][a], rho / given["drho"])


class Reference:
    """Energies of one configuration, at its places or displaced by complex amounts."""

    def __init__(self, system: System, radius: float, cutoff: Callable[[str, str], float]):
        self.species = system.species
        found = [
            (i, j, r)
            for i, j, r in pairwise.vectors(system, radius)
            if np.linalg.norm(r) < cutoff(system.species[i], system.species[j])
        ]
        self.i, self.j = (np.array([row[k] for row in found]) for k in (0, 1))
        self.vectors = np.array([row[2] for row in found])

    def energy(self, functions, moved=0, strain=0):
        phi, density, embedding = functions
        moved = np.zeros((len(self.species), 3)) + moved
        v = (self.vectors + moved[self.j] - moved[self.i]) @ (np.eye(3) + strain)
        r = np.sqrt(np.sum(v**2, axis=1)).astype(complex)
        rho = np.zeros(len(self.species), dtype=complex)
        total = 0.0 + 0.0j
        kinds = [(self.species[i], self.species[j]) for i, j in zip(self.i, self.j, strict=True)]
        for a, b in sorted(set(kinds)):
            chosen = np.array([kind == (a, b) for kind in kinds])
            total += np.sum(phi(a, b, r[chosen]))
            np.add.at(rho, self.i[chosen], density(b, a, r[chosen]))
            np.add.at(rho, self.j[chosen], density(a, b, r[chosen]))
        return total + sum(embedding(a, x) for a, x in zip(self.species, rho, strict=True))

    def derivative(self, functions, **along) -> float:
        """dE along a displacement (N, 3) or a strain (3, 3)."""
        name, direction = next(iter(along.items()))
        return self.energy(functions, **{name: 1e-100j * direction}).imag / 1e-100
