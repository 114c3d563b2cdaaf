"""Units: one place that says what a quantity's unit is called.

"metal": energies in eV, lengths in angstrom (ASE's own). "reduced": whatever the parameters are in.
A quantity's dimension is written as (power of energy, power of length).
"""

from __future__ import annotations

from math import pi

SYSTEMS = ("metal", "reduced")

# sqrt(eV/u)/angstrom as a frequency (cycles, not radians) in THz; CODATA 2018.
THZ = (1.602176634e-19 / 1.66053906660e-27) ** 0.5 / (2.0e-10 * pi * 1e12)

Dimension = tuple[int, int]

NUMBER: Dimension = (0, 0)
ENERGY: Dimension = (1, 0)
LENGTH: Dimension = (0, 1)


def label(units: str, dimension: Dimension) -> str:
    """The unit of energy^e length^l in words: "eV/angstrom^3", "angstrom", "1", "reduced".

    Dimensionless quantities are "1" in either system.
    """
    if dimension == NUMBER:
        return "1"
    if units == "reduced":
        return "reduced"
    above = [_power("eV", dimension[0]), _power("angstrom", dimension[1])]
    below = [_power("eV", -dimension[0]), _power("angstrom", -dimension[1])]
    top = "*".join(x for x in above if x) or "1"
    bottom = "*".join(x for x in below if x)
    return f"{top}/{bottom}" if bottom and "*" not in bottom else _with_parts(top, bottom)


def _with_parts(top: str, bottom: str) -> str:
    return f"{top}/({bottom})" if bottom else top


def _power(name: str, power: int) -> str:
    if power <= 0:
        return ""
    return name if power == 1 else f"{name}^{power}"


def ratio(numerator: Dimension, denominator: Dimension) -> Dimension:
    """Dimension of d(numerator)/d(denominator)."""
    return numerator[0] - denominator[0], numerator[1] - denominator[1]
