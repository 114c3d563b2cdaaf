"""Whether a trajectory can be believed: equilibrium, temperature, time step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mdsens.errors import NotConverged
from mdsens.thermal.ensemble import NVE
from mdsens.thermal.statistics import LEAST_SAMPLES, inefficiency, mean_error
from mdsens.thermal.trajectory import Trajectory

# What the mean kinetic temperature may be off by, relatively, beyond four standard errors; a time
# step that is too large shows first of all there.
_TEMPERATURE = 0.05
# What a drift of the conserved quantity may do to the temperature against the thermostat; at
# constant energy, what it may be of the kinetic energy.
_HEATING = 0.05
# The share of a trajectory that may lie before equilibrium.
_LOST = 0.5


@dataclass(frozen=True)
class Checked:
    """What speaks for a trajectory.

    Attributes:
        samples: in equilibrium, of all walkers.
        discarded: samples of each walker before it.
        effective: independent samples of the energy.
        temperature, temperature_error: kinetic, in units of the target.
        drift: of the conserved quantity per time step and degree of freedom, in k_B T.
        outcome: a sentence.
    """

    samples: int
    discarded: int
    effective: float
    temperature: float
    temperature_error: float
    drift: float
    outcome: str


def checked(trajectory: Trajectory) -> Checked:
    """Examine a trajectory.

    Raises:
        NotConverged: it is not in equilibrium, not at its temperature, or its time step is too large.
    """
    start, whole = trajectory.start, trajectory.energies.shape[1]
    if start > _LOST * whole:
        raise NotConverged(
            f"ensemble: not in equilibrium: the energy settles after sample {start} of {whole}; raise "
            "equilibration or steps"
        )
    found = examined(trajectory)
    _require_small(trajectory, found.drift)
    _require_temperature(trajectory, found)
    return found


def examined(trajectory: Trajectory) -> Checked:
    """What is known of a trajectory, whatever it is worth."""
    start = trajectory.start
    kept = trajectory.energies[:, start:]
    relative = _relative_temperatures(trajectory)
    effective = float(kept.size / inefficiency(kept))
    mean, error = float(relative.mean()), float(mean_error(relative)[0][0])
    known = f"{kept.size} samples, {effective:.0f} of them independent in energy"
    if isinstance(trajectory.ensemble, NVE):
        known += f", at {mean:.4f}({error:.4f}) of the temperature at the start"
    return Checked(kept.size, start, effective, mean, error, _drift(trajectory), known)


def _relative_temperatures(trajectory: Trajectory) -> np.ndarray:
    """(W, S, 1) kinetic, over the target."""
    return trajectory.temperatures[:, trajectory.start :, None] / trajectory.kt


def _require_temperature(trajectory: Trajectory, found: Checked) -> None:
    mean, error = found.temperature, found.temperature_error
    if isinstance(trajectory.ensemble, NVE) or abs(mean - 1.0) <= _TEMPERATURE + 4.0 * error:
        return
    worth = float(mean_error(_relative_temperatures(trajectory))[1][0])
    if worth < LEAST_SAMPLES:
        raise NotConverged(
            f"ensemble: the kinetic temperature: worth {worth:.1f} independent samples (limit "
            f"{LEAST_SAMPLES:g}); raise steps or walkers"
        )
    raise NotConverged(
        f"ensemble: the kinetic temperature is {mean:.4f}({error:.4f}) of the target; "
        f"{trajectory.ensemble.remedy}, or raise equilibration"
    )


def _drift(trajectory: Trajectory) -> float:
    """Per step and degree of freedom, in k_B T."""
    e, system = trajectory.ensemble, trajectory.system
    samples = trajectory.conserved.shape[1]
    if samples < 3:
        return 0.0
    steps = e.stride * (np.arange(samples) - 0.5 * (samples - 1))
    slope = float(np.mean(trajectory.conserved @ steps) / np.sum(steps**2))
    freedom = system.dimension * sum(not fixed for fixed in system.fixed)
    return slope / (trajectory.kt * freedom)


def _require_small(trajectory: Trajectory, drift: float) -> None:
    e = trajectory.ensemble
    span = e.steps if isinstance(e, NVE) else e.relaxation_steps
    # Half k_B T is the kinetic energy of a degree of freedom.
    heating = 2.0 * drift * span
    if abs(heating) > _HEATING:
        raise NotConverged(
            f"ensemble: the conserved quantity drifts by {drift:.1e} k_B T per step and degree of "
            f"freedom, which heats by {heating:.1%}; {e.remedy}"
        )
