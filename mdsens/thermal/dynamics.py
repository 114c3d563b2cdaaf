"""One step of each kind of dynamics, and the quantity it conserves but for the error of the step.

The integrators are jax-md's. What is ours: particles are not wrapped, so that the list knows all
images; fixed particles stay; thermostats count the degrees of freedom that there are (jax-md counts
N d where momentum is conserved and N d - d move); the volume is weighed as it should be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mdsens._jaxmd import simulate
from mdsens.neighbors import Pairs
from mdsens.potentials import Potential


class Bath(NamedTuple):
    """The numbers of an ensemble, and what they act on.

    Attributes:
        params: of the potential.
        cell: (d, d) at the start; the cell, if it is fixed.
        mass: (N, 1).
        free: (N, 1) one where a particle may move, else zero.
        kt, dt, relaxation: temperature, time step, time of the thermostat (infinite: none).
        pressure, barostat: target, and time of the barostat.
    """

    params: Any
    cell: jax.Array
    mass: jax.Array
    free: jax.Array
    kt: jax.Array
    dt: jax.Array
    relaxation: jax.Array
    pressure: jax.Array
    barostat: jax.Array


class Flow(NamedTuple):
    """Where the dynamics is: jax-md's state, and the heat that a thermostat has put in."""

    md: Any
    heat: jax.Array


@dataclass(frozen=True)
class Dynamics:
    """What moves the particles.

    Attributes:
        potential: what they feel.
        mover: "langevin", "csvr" (without a thermostat if its time is infinite), "nose_hoover", "npt".
        freedom: degrees of freedom.
        drifts: whether the centre of mass moves freely.
    """

    potential: Potential
    mover: str
    freedom: int
    drifts: bool

    def begin(self, bath: Bath, key: jax.Array, positions: jax.Array, pairs: Pairs) -> Flow:
        """Velocities from the Maxwell distribution."""
        first, second = jax.random.split(key)
        noise = jax.random.normal(first, positions.shape)
        momenta = bath.free * jnp.sqrt(bath.mass * bath.kt) * noise
        if not self.drifts:
            momenta = momenta - bath.mass * jnp.sum(momenta, 0, keepdims=True) / jnp.sum(bath.mass)
        options = {"mass": bath.mass, "momenta": momenta, "pairs": pairs}
        if self.mover in ("langevin", "csvr"):
            force = self._force(bath)(positions, pairs)
            md = simulate.NVTLangevinState(positions, momenta, force, bath.mass, second)
        elif self.mover == "nose_hoover":
            md = self._nose_hoover(bath)[0](second, positions, **options)
            md = md.set(chain=self._counted(md.chain))
        else:
            md = self._npt(bath)[0](second, positions, bath.cell, **options)
            md = md.set(thermostat=self._counted(md.thermostat))
        return Flow(md, jnp.zeros(()))

    def step(self, bath: Bath, flow: Flow, pairs: Pairs) -> Flow:
        """One time step."""
        if self.mover == "langevin":
            return self._langevin(bath, flow, pairs)
        if self.mover == "csvr":
            return self._csvr(bath, flow, pairs)
        functions = self._nose_hoover(bath) if self.mover == "nose_hoover" else self._npt(bath)
        return flow._replace(md=functions[1](flow.md, pairs=pairs))

    def cell(self, bath: Bath, flow: Flow) -> jax.Array:
        """(d, d)."""
        return flow.md.box if self.mover == "npt" else bath.cell

    def kinetic(self, flow: Flow) -> jax.Array:
        return simulate.kinetic_energy(flow.md)

    def conserved(self, bath: Bath, flow: Flow, energy: jax.Array) -> jax.Array:
        """Energy of particles, thermostat and barostat; `energy` is that of the positions."""
        total = energy + self.kinetic(flow) - flow.heat
        if self.mover == "nose_hoover":
            return total + _of_chain(flow.md.chain, bath.kt)
        if self.mover == "npt":
            md, volume = flow.md, jnp.abs(jnp.linalg.det(flow.md.box))
            total = total + bath.pressure * volume + self._weight(bath) * jnp.log(volume)
            total = total + md.box_momentum**2 / (2.0 * md.box_mass)
            return total + _of_chain(md.thermostat, bath.kt) + _of_chain(md.barostat, bath.kt)
        return total

    def _force(self, bath: Bath) -> Any:
        def force(positions: jax.Array, pairs: Pairs) -> jax.Array:
            return -bath.free * self.potential.gradient(bath.params, positions, bath.cell, pairs)

        return force

    def _langevin(self, bath: Bath, flow: Flow, pairs: Pairs) -> Flow:
        """BAOAB of jax-md's parts, with an eye on the heat."""
        half, shift = 0.5 * bath.dt, _shift(bath)
        md = simulate.momentum_step(flow.md, half)
        md = simulate.position_step(md, shift, half)
        before = simulate.kinetic_energy(md)
        md = simulate.stochastic_step(md, bath.dt, bath.kt, 1.0 / bath.relaxation)
        md = md.set(momentum=bath.free * md.momentum)
        heat = flow.heat + simulate.kinetic_energy(md) - before
        md = simulate.position_step(md, shift, half)
        md = md.set(force=self._force(bath)(md.position, pairs))
        return Flow(simulate.momentum_step(md, half), heat)

    def _csvr(self, bath: Bath, flow: Flow, pairs: Pairs) -> Flow:
        """Velocity Verlet, then Bussi's rescaling, doi:10.1063/1.2408420, eq. A7.

        jax-md's `temp_csvr` draws two of its random numbers from one key, and counts N d degrees of
        freedom.
        """
        force = self._force(bath)
        md = simulate.momentum_step(flow.md, 0.5 * bath.dt)
        md = simulate.position_step(md, _shift(bath), bath.dt)
        md = md.set(force=force(md.position, pairs))
        md = simulate.momentum_step(md, 0.5 * bath.dt)
        key, one, others = jax.random.split(md.rng, 3)
        kinetic = simulate.kinetic_energy(md)
        kept = jnp.exp(-bath.dt / bath.relaxation)
        drawn = (1.0 - kept) * 0.5 * bath.kt / kinetic
        r = jax.random.normal(one)
        squares = 2.0 * jax.random.gamma(others, 0.5 * (self.freedom - 1))
        scale = kept + drawn * (r**2 + squares) + 2.0 * r * jnp.sqrt(kept * drawn)
        md = md.set(momentum=jnp.sqrt(scale) * md.momentum, rng=key)
        return Flow(md, flow.heat + (scale - 1.0) * kinetic)

    def _nose_hoover(self, bath: Bath) -> Any:
        return simulate.nvt_nose_hoover(
            self._force(bath), _shift(bath), bath.dt, bath.kt, chain_length=3, tau=bath.relaxation
        )

    def _npt(self, bath: Bath) -> Any:
        def energy(positions, box, pairs, perturbation=1.0):
            d = len(box)
            strain = (perturbation - 1.0) * jnp.eye(d)
            energy = self.potential.strained_energy(bath.params, positions, box, pairs, strain)
            log_volume = jnp.log(jnp.abs(jnp.linalg.det(box))) + d * jnp.log(perturbation)
            return energy + self._weight(bath) * log_volume

        return simulate.npt_nose_hoover(
            energy, _shift(bath), bath.dt, bath.pressure, bath.kt,
            {"tau": bath.barostat}, {"tau": bath.relaxation},
        )  # fmt: skip

    def _weight(self, bath: Bath) -> jax.Array:
        """-(1 + 1/N) k_B T.

        With the total momentum at rest and a barostat that feels (1 + 1/N) 2 K, volumes come as
        V^(N - 1 - 1/N) exp(-(U + P V)/k_B T); a term - (1 + 1/N) k_B T ln V in U makes that V^N.
        """
        return -(1.0 + 1.0 / len(bath.mass)) * bath.kt

    def _counted(self, chain: Any) -> Any:
        return chain.set(degrees_of_freedom=self.freedom)


def _shift(bath: Bath) -> Any:
    return lambda positions, change, **_: positions + bath.free * change


def _of_chain(chain: Any, kt: jax.Array) -> jax.Array:
    """Energy of a Nose-Hoover chain."""
    counts = jnp.ones_like(chain.position).at[0].set(chain.degrees_of_freedom)
    return jnp.sum(chain.momentum**2 / (2.0 * chain.mass) + kt * counts * chain.position)
