"""Which ensemble, at which temperature and pressure, and how long: values, checked when made.

Temperatures are in kelvin and times in femtoseconds for systems in metal units; for reduced ones
temperatures are energies (k_B = 1) and times are in sqrt(mass/energy) length.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from mdsens.catalogue import THERMOSTATS
from mdsens.errors import InputError
from mdsens.system import System
from mdsens.units import BOLTZMANN, FEMTOSECOND

# Relaxation times of thermostat and barostat in time steps, where none is given.
_THERMOSTAT, _BAROSTAT = 100.0, 1000.0


@dataclass(frozen=True, kw_only=True)
class Ensemble(ABC):
    """What all ensembles have.

    Attributes:
        temperature: T > 0; for NVE that of the equilibration.
        time_step: of the integrator; a fiftieth of the fastest period is a good value.
        steps: after the equilibration, of every walker.
        equilibration: steps before the first sample.
        stride: steps from one sample to the next.
        walkers: independent copies, run side by side.
        relaxation: time in which the thermostat acts; 100 time steps if None.
        seed: of initial velocities and of noise.
    """

    temperature: float
    time_step: float
    steps: int
    equilibration: int = 0
    stride: int = 50
    walkers: int = 1
    relaxation: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("temperature", "time_step", "relaxation"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise InputError(f"ensemble.{name}: {value!r}; must be a number")
            if value is not None and not (np.isfinite(value) and value > 0.0):
                raise InputError(f"ensemble.{name}: {value:g}; must be positive")
        for name, least in (("steps", 1), ("equilibration", 0), ("stride", 1), ("walkers", 1)):
            if not isinstance(getattr(self, name), Integral):
                raise InputError(f"ensemble.{name}: {getattr(self, name)!r}; must be an integer")
            if getattr(self, name) < least:
                raise InputError(f"ensemble.{name}: {getattr(self, name)}; must be >= {least}")
        if self.steps < self.stride:
            raise InputError(
                f"ensemble.stride: {self.stride} is more than the {self.steps} steps, which leaves no "
                "sample; lower it"
            )

    @property
    @abstractmethod
    def mover(self) -> str:
        """What moves the particles, see `mdsens.thermal.dynamics`."""

    @property
    @abstractmethod
    def is_canonical(self) -> bool:
        """Whether averages obey d<A> = <dA> - beta cov(A, dU)."""

    @property
    def samples(self) -> int:
        """Of each walker."""
        return self.steps // self.stride

    def kt(self, system: System) -> float:
        """k_B T in the system's unit of energy."""
        return self.temperature * (BOLTZMANN if system.units == "metal" else 1.0)

    def dt(self, system: System) -> float:
        """The time step in the time in which the system's energies, lengths and masses are one."""
        return self.time_step * (FEMTOSECOND if system.units == "metal" else 1.0)

    @property
    def relaxation_steps(self) -> float:
        """Of the thermostat."""
        return _THERMOSTAT if self.relaxation is None else self.relaxation / self.time_step

    @property
    def remedy(self) -> str:
        """What to do where the integrator is not accurate enough."""
        return f"lower time_step (now {self.time_step:g})"


@dataclass(frozen=True, kw_only=True)
class NVE(Ensemble):
    """Constant energy: velocity Verlet, after an equilibration at the temperature (by `csvr`).

    Averages are measured; they have no derivatives here, since the energy that is kept depends on
    the parameters.
    """

    @property
    def mover(self) -> str:
        return "csvr"

    @property
    def is_canonical(self) -> bool:
        return False


@dataclass(frozen=True, kw_only=True)
class NVT(Ensemble):
    """Constant volume and temperature, p(x) ~ exp(-U(x)/k_B T).

    Attributes:
        thermostat: "langevin": BAOAB, ergodic for every system, and exact to second order in the time
            step with a small constant (Leimkuhler, Matthews, doi:10.1063/1.4802990); "csvr":
            stochastic velocity rescaling, which disturbs the dynamics least (Bussi, Donadio,
            Parrinello, doi:10.1063/1.2408420), for fluids; "nose_hoover": a deterministic
            chain (Martyna, Klein, Tuckerman, doi:10.1063/1.463940), for fluids. Both leave the modes of a
            cold crystal the heat that each had at the start.
    """

    thermostat: str = "langevin"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.thermostat not in THERMOSTATS:
            raise InputError(
                f"ensemble.thermostat: {self.thermostat!r} is not known; allowed: "
                f"{', '.join(THERMOSTATS)}"
            )

    @property
    def mover(self) -> str:
        return self.thermostat

    @property
    def is_canonical(self) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class NPT(Ensemble):
    """Constant pressure and temperature, p(x, V) ~ exp(-(U(x) + P V)/k_B T); the cell keeps its shape.

    Nose-Hoover chains on particles and volume (Martyna, Tobias, Klein, doi:10.1063/1.467468).

    Attributes:
        pressure: P, energy per volume (area in 2D).
        barostat_relaxation: time in which the volume answers; 1000 time steps if None.
    """

    pressure: float = 0.0
    barostat_relaxation: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not np.isfinite(self.pressure):
            raise InputError(f"ensemble.pressure: {self.pressure:g}; must be finite")
        slow = self.barostat_relaxation
        if slow is not None and not (np.isfinite(slow) and slow > 0.0):
            raise InputError(f"ensemble.barostat_relaxation: {slow:g}; must be positive")

    @property
    def mover(self) -> str:
        return "npt"

    @property
    def is_canonical(self) -> bool:
        return True

    @property
    def barostat_steps(self) -> float:
        """Relaxation time of the volume in time steps."""
        given = self.barostat_relaxation
        return _BAROSTAT if given is None else given / self.time_step

    @property
    def remedy(self) -> str:
        if self.barostat_steps >= _BAROSTAT:
            return super().remedy
        return (
            f"raise barostat_relaxation (now {self.barostat_steps:g} time steps, {_BAROSTAT:g} are a good "
            f"value), or {super().remedy}"
        )
