"""What an entry says of a potential and its parameters, an observable, a minimizer."""

from __future__ import annotations

from dataclasses import dataclass

from mdsens.units import LENGTH, Dimension


@dataclass(frozen=True)
class Parameter:
    """A potential parameter: what it is called, measured in, and allowed to be.

    `lower` is a bound on every value, excluded if `strict`. `default` None means required, unless
    `default_rule` says in words where the value comes from. Not `differentiable` are those that
    choose between formulas. `single`: one number for all.
    `optional`: without it the potential does without. `knots`: it is a function, a row of values at
    knots for each of these (see mdsens.knots).
    """

    name: str
    dimension: Dimension
    meaning: str
    default: float | None = None
    lower: float | None = None
    strict: bool = True
    default_rule: str | None = None
    differentiable: bool = True
    single: bool = False
    optional: bool = False
    knots: tuple[str, ...] = ()


@dataclass(frozen=True)
class PotentialEntry:
    """A potential: its equation, parameters, options (name -> allowed values, default first).

    Attributes:
        per_triple: tables are keyed by ordered triples of species, and nothing is per particle.
        file: the kind of LAMMPS file its parameters may come from, in the order of `parameters`.
    """

    kind: str
    class_name: str
    equation: str
    parameters: tuple[Parameter, ...]
    source: str
    options: tuple[tuple[str, tuple[str, ...]], ...] = ()
    knows_contacts: bool = False
    per_triple: bool = False
    file: str | None = None


@dataclass(frozen=True)
class Abscissa:
    """What an observable is a function of: how function and variable are written, what its values are
    called in files, its kind of unit (a key of `mdsens.units.UNITS`) and dimension."""

    function: str
    symbol: str
    name: str
    kind: str
    dimension: Dimension


@dataclass(frozen=True)
class ObservableEntry:
    """An observable: its unit as powers of energy and length (the latter per dimension d).

    `needs_volume`: defined where the cell is periodic in every direction. `needs_contacts`: defined
    for potentials that know what touches.
    """

    name: str
    meaning: str
    energy_power: int
    length_power: int
    length_power_per_dimension: int = 0
    shape: str = "()"
    differentiable: bool = True
    needs_volume: bool = False
    needs_contacts: bool = False
    along: Abscissa | None = None

    def dimension(self, d: int) -> Dimension:
        return self.energy_power, self.length_power + d * self.length_power_per_dimension


@dataclass(frozen=True)
class MinimizerEntry:
    name: str
    meaning: str
    source: str


SMOOTHING = ("smoothing", ("energy_shift", "force_shift", "xplor", "none"))
CUTOFF = Parameter("cutoff", LENGTH, "distance beyond which a pair does not interact", lower=0.0)
ONSET = Parameter(
    "onset",
    LENGTH,
    'where switching begins; only with smoothing = "xplor"',
    lower=0.0,
    default_rule="0.8 cutoff",
)
