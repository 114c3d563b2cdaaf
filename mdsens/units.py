"""Units: one place that says what a quantity's unit is called.

"metal": energies in eV, lengths in angstrom (ASE's own). "reduced": whatever the parameters are in.
A quantity's dimension is written as (power of energy, power of length).
"""

from __future__ import annotations

from math import pi

SYSTEMS = ("metal", "reduced")

# sqrt(eV/u)/angstrom as a frequency (cycles, not radians) in THz; CODATA 2018.
THZ = (1.602176634e-19 / 1.66053906660e-27) ** 0.5 / (2.0e-10 * pi * 1e12)

# eV/THz; eV/K; and the femtosecond in angstrom sqrt(u/eV), the time in which masses are in u; CODATA 2018.
PLANCK = 6.62607015e-34 / 1.602176634e-19 * 1e12
BOLTZMANN = 1.380649e-23 / 1.602176634e-19
FEMTOSECOND = 1e-5 * (1.602176634e-19 / 1.66053906660e-27) ** 0.5

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


GPA = 1.0 / 160.2176634  # eV/angstrom^3
_J_PER_M2 = 1.0 / 16.02176634  # eV/angstrom^2

# Units in which a quantity may be given, and what one of them is in eV, angstrom, THz and degrees.
UNITS: dict[str, dict[str, float]] = {
    "length": {"angstrom": 1.0, "nm": 10.0, "pm": 0.01, "bohr": 0.529177210903},
    "wavenumber": {"1/angstrom": 1.0, "1/nm": 0.1},
    "volume": {"angstrom^3": 1.0, "nm^3": 1e3, "bohr^3": 0.529177210903**3},
    "energy": {
        "eV": 1.0, "meV": 1e-3, "kJ/mol": 0.010364269656, "kcal/mol": 0.043364104242,
        "hartree": 27.211386245988, "rydberg": 13.605693122994,
    },
    "modulus": {
        "eV/angstrom^3": 1.0, "GPa": GPA, "MPa": 1e-3 * GPA, "kbar": 0.1 * GPA, "Mbar": 100.0 * GPA,
    },
    "surface": {"eV/angstrom^2": 1.0, "J/m^2": _J_PER_M2, "mJ/m^2": 1e-3 * _J_PER_M2},
    "frequency": {"THz": 1.0, "cm^-1": 0.0299792458, "meV": 0.2417989242},
    "angle": {"degree": 1.0, "rad": 180.0 / pi},
}  # fmt: skip

# What has other units in a plane: a volume is an area, what is per volume is per area, and what is per
# area is per length.
PLANE_UNITS: dict[str, dict[str, float]] = {
    "volume": {"angstrom^2": 1.0, "nm^2": 1e2, "bohr^2": 0.529177210903**2},
    "modulus": {**UNITS["surface"], "N/m": _J_PER_M2, "mN/m": 1e-3 * _J_PER_M2},
    "surface": {"eV/angstrom": 1.0, "meV/angstrom": 1e-3, "eV/nm": 0.1},
}


def units_of(kind: str, dimension: int) -> dict[str, float]:
    """The units of a kind of quantity in so many dimensions of space."""
    return PLANE_UNITS.get(kind, UNITS[kind]) if dimension == 2 else UNITS[kind]
