"""Any jax-md energy function as a potential."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens._jaxmd import quiet
from mdsens.errors import InputError
from mdsens.linear import require_float64
from mdsens.neighbors import Pairs, upper_triangular
from mdsens.potentials.base import Params, Potential
from mdsens.system import System, heights


@dataclass(frozen=True, eq=False)
class FromJaxMD(Potential):
    """See `from_jax_md`, which makes it."""

    energy_fn: Callable[..., jax.Array]
    neighbor: Any
    cell: Any
    pbc: tuple[bool, ...]
    fractional: bool
    parameters_first: bool

    @property
    def kind(self) -> str:
        return "jax_md"

    @property
    def uses_pairs(self) -> bool:
        return False

    @cached_property
    def deformable(self) -> bool:
        """Whether `energy_fn` takes `perturbation`, jax-md's word for a homogeneous deformation."""
        taken = inspect.signature(self.energy_fn).parameters.values()
        return any(p.name == "perturbation" or p.kind is p.VAR_KEYWORD for p in taken)

    def parameters(self, system: System, **given: Any) -> Params:
        """The given values as float64 arrays; shapes are the energy function's own business."""
        require_float64()
        return jax.tree.map(lambda x: jnp.asarray(x, dtype=jnp.float64), given)

    def cutoff(self, params: Params) -> jax.Array:
        """Zero: the adopted function keeps its own neighbour list."""
        return jnp.zeros(())

    def energy(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array:
        return self._energy(params, positions, cell, jnp.eye(cell.shape[0]))

    def strained_energy(
        self,
        params: Params,
        positions: jax.Array,
        cell: jax.Array,
        neighbors: Pairs,
        strain: jax.Array,
    ) -> jax.Array:
        if not self.deformable:
            raise InputError(
                "jax_md: the energy function takes no `perturbation`, so it has no stress; pass it "
                "on to the displacement function"
            )
        return self._energy(params, positions, cell, jnp.eye(cell.shape[0]) + strain)

    def _energy(
        self, params: Params, positions: jax.Array, cell: jax.Array, stretch: jax.Array
    ) -> jax.Array:
        # jax-md sees a constant box. By what the cell differs from it, in value (real coordinates,
        # where the displacement closes over the box) or in derivative alone (fractional ones),
        # every displacement is deformed.
        frame = jax.lax.stop_gradient(cell) if self.fractional else jnp.asarray(self.cell)
        deformation = jnp.linalg.solve(frame, cell)
        extra: dict[str, Any] = {"box": frame.T} if self.fractional else {}
        if self.deformable:
            positions = positions @ jnp.linalg.inv(deformation)
            extra["perturbation"] = (deformation @ stretch).T
        r = self._jax_md_coordinates(positions, frame)
        sound = self.deformable | ~_differs(deformation, jnp.eye(len(frame)))
        if self.neighbor is not None:
            extra["neighbor"], complete = self._listed(r, frame, deformation)
            sound = sound & complete
        if self.parameters_first:
            energy = self.energy_fn(params, r, **extra)
        else:
            energy = self.energy_fn(r, **extra, **params)
        return jnp.where(sound, energy, jnp.nan)

    def _listed(
        self, r: jax.Array, frame: jax.Array, deformation: jax.Array
    ) -> tuple[Any, jax.Array]:
        """jax-md's list at r, and whether it is complete."""
        old, r, box = self.neighbor, jax.lax.stop_gradient(r), {}
        if not self.fractional:
            # Made in the undeformed box: it cannot know who is near in another one.
            known = ~_differs(deformation, jnp.eye(len(frame)))
        else:
            # It is renewed when particles have moved, which in fractional coordinates they need
            # not have when the box has; then the reference is moved out of the way.
            known, box = jnp.asarray(True), {"box": upper_triangular(frame)}
            away = jnp.where(_differs(frame, self.cell), 0.5, 0.0)
            old = replace(old, reference_position=old.reference_position + away)
        with quiet():
            new = old.update(r, **box)
        return new, known & ~((new.did_buffer_overflow | new.cell_size_too_small) != 0)

    def _jax_md_coordinates(self, positions: jax.Array, frame: jax.Array) -> jax.Array:
        """Wrapped into the cell, as jax-md's cell lists ask for."""
        fractional = positions @ jnp.linalg.inv(frame)
        whole = jnp.where(jnp.array(self.pbc), jnp.floor(jax.lax.stop_gradient(fractional)), 0.0)
        if not self.fractional:
            return positions - whole @ frame
        # jax-md's displacement hands slopes by fractional coordinates through as if they were
        # Cartesian (`space.transform`); so that is what they have to be.
        value = jax.lax.stop_gradient(fractional - whole)
        return value + (positions - jax.lax.stop_gradient(positions))


def _differs(a: jax.Array, b: jax.Array) -> jax.Array:
    """More than by round-off; () bool without a derivative."""
    a, b = jax.lax.stop_gradient((a, b))
    return jnp.max(jnp.abs(a - b)) > 1e-13 * jnp.max(jnp.abs(b))


def from_jax_md(
    energy_fn: Callable[..., jax.Array] | tuple[Any, Callable[..., jax.Array]],
    system: System,
    neighbor_fn: Any = None,
    *,
    fractional_coordinates: bool = False,
    parameters_first: bool = False,
    cutoff: float | None = None,
) -> FromJaxMD:
    """Adopt a jax-md energy function, with or without a neighbour list.

    jax-md gives `neighbor_fn, energy_fn = energy.some_neighbor_list(displacement, box, ...)`; hand
    over that pair as it is, or the energy function alone or with `neighbor_fn`. It is called as
    `energy_fn(R, neighbor=..., **params)`, or with `parameters_first` as
    `energy_fn(params, R, neighbor=...)` (neural networks, weights as the pytree `params`). Its
    displacement function must know the system's cell.

    jax-md's networks built on flax hide their weights; those of `energy_fn.model` are made the
    parameters by

        graph, weights, rest = nnx.split(energy_fn.model, nnx.Param, ...)
        def network(weights, R, neighbor=None, **more):
            return nnx.merge(graph, weights, rest)(R, neighbor, **more)
        potential = from_jax_md((neighbor_fn, network), system, parameters_first=True)
        params = jax.tree.map(lambda w: w.astype(jnp.float64), weights)

    The list is allocated here, at the system's positions; if it overflows later the energy is NaN,
    and the relaxation says so: adopt again at positions nearer to the relaxed ones or with a larger
    `capacity_multiplier`. With a list, a cell other than the system's needs
    `fractional_coordinates`, else the energy is NaN. Stress, pressure and derivatives with respect
    to the cell need an `energy_fn` that passes `perturbation` on to the displacement, as all of
    jax-md's do; slopes by fractional coordinates are taken as jax-md's `space.transform` gives them.

    Args:
        cutoff: range of the interaction; if given, a cell smaller than twice that is refused, as
            jax-md takes the nearest image only.

    Raises:
        InputError: the cell is too small for the cutoff.
        Float32Error: 64-bit floats are off.
    """
    require_float64()
    if isinstance(energy_fn, tuple):
        neighbor_fn, energy_fn = energy_fn
    if cutoff is not None and any(system.pbc):
        smallest = float(heights(np.asarray(system.cell))[list(system.pbc)].min())
        if smallest < 2.0 * cutoff:
            raise InputError(
                f"{system.source}: cell: its smallest height {smallest:.6g} is less than twice the "
                f"cutoff {cutoff:.6g}, and jax-md energies take the nearest image only; "
                "use a larger cell"
            )
    cell = jnp.asarray(system.cell)
    made = FromJaxMD(energy_fn, None, cell, system.pbc, fractional_coordinates, parameters_first)
    if neighbor_fn is None:
        return made
    r = made._jax_md_coordinates(jnp.asarray(system.positions), cell)
    box = {"box": upper_triangular(cell)} if fractional_coordinates else {}
    with quiet():
        return replace(made, neighbor=neighbor_fn.allocate(r, **box))
