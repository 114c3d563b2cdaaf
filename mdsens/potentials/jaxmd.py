"""Any jax-md energy function as a potential."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.errors import InputError
from mdsens.linear import require_float64
from mdsens.neighbors import Pairs
from mdsens.potentials.base import Params, Potential
from mdsens.system import System, heights


@dataclass(frozen=True, eq=False)
class FromJaxMD(Potential):
    """See `from_jax_md`, which makes it."""

    energy_fn: Callable[..., jax.Array]
    neighbor: Any
    pbc: tuple[bool, ...]
    fractional: bool
    parameters_first: bool

    @property
    def kind(self) -> str:
        return "jax_md"

    @property
    def uses_pairs(self) -> bool:
        return False

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
        extra = {"box": cell.T} if self.fractional else {}
        return self._call(params, positions, cell, extra)

    def strained_energy(
        self,
        params: Params,
        positions: jax.Array,
        cell: jax.Array,
        neighbors: Pairs,
        strain: jax.Array,
    ) -> jax.Array:
        # jax-md spells a homogeneous deformation as `perturbation` of every displacement, since
        # its displacement functions close over the box; in fractional coordinates the box tells.
        stretch = jnp.eye(cell.shape[0]) + strain
        if self.fractional:
            return self._call(
                params, positions @ stretch, cell @ stretch, {"box": (cell @ stretch).T}
            )
        return self._call(params, positions, cell, {"perturbation": stretch})

    def _call(
        self, params: Params, positions: jax.Array, cell: jax.Array, extra: dict[str, Any]
    ) -> jax.Array:
        r = self._jax_md_coordinates(positions, cell)
        neighbor, overflow = self.neighbor, False
        if neighbor is not None:
            box = {"box": extra["box"]} if "box" in extra else {}
            neighbor = neighbor.update(jax.lax.stop_gradient(r), **jax.lax.stop_gradient(box))
            overflow = (neighbor.did_buffer_overflow | neighbor.cell_size_too_small) != 0
            extra = {**extra, "neighbor": neighbor}
        if self.parameters_first:
            energy = self.energy_fn(params, r, **extra)
        else:
            energy = self.energy_fn(r, **extra, **params)
        return jnp.where(overflow, jnp.nan, energy)

    def _jax_md_coordinates(self, positions: jax.Array, cell: jax.Array) -> jax.Array:
        """Wrapped into the cell, as jax-md's cell lists ask for; slope one everywhere."""
        fractional = positions @ jnp.linalg.inv(cell)
        whole = jnp.where(jnp.array(self.pbc), jnp.floor(jax.lax.stop_gradient(fractional)), 0.0)
        return fractional - whole if self.fractional else positions - whole @ cell


def from_jax_md(
    energy_fn: Callable[..., jax.Array],
    system: System,
    neighbor_fn: Any = None,
    *,
    fractional_coordinates: bool = False,
    parameters_first: bool = False,
    cutoff: float | None = None,
) -> FromJaxMD:
    """Adopt a jax-md energy function, with or without a neighbour list.

    jax-md gives `neighbor_fn, energy_fn = energy.some_neighbor_list(displacement, box, ...)`; hand
    over both, or the energy function alone. It is called as `energy_fn(R, neighbor=..., **params)`,
    or with `parameters_first` as `energy_fn(params, R, neighbor=...)` (neural networks, weights as
    the pytree `params`). Its displacement function must know the system's cell.

    The list is allocated here, at the system's positions; if it overflows later the energy is NaN,
    and the relaxation says so: adopt again at positions nearer to the relaxed ones or with a larger
    `capacity_multiplier`. Derivatives with respect to the cell at fixed positions need
    `fractional_coordinates`; stress and pressure need an `energy_fn` that passes `perturbation` on
    to the displacement, as all of jax-md's do.

    Args:
        cutoff: range of the interaction; if given, a cell smaller than twice that is refused, as
            jax-md takes the nearest image only.

    Raises:
        InputError: the cell is too small for the cutoff.
        Float32Error: 64-bit floats are off.
    """
    require_float64()
    if cutoff is not None and any(system.pbc):
        smallest = float(heights(np.asarray(system.cell))[list(system.pbc)].min())
        if smallest < 2.0 * cutoff:
            raise InputError(
                f"{system.source}: cell: its smallest height {smallest:.6g} is less than twice the "
                f"cutoff {cutoff:.6g}, and jax-md energies take the nearest image only; "
                "use a larger cell"
            )
    made = FromJaxMD(energy_fn, None, system.pbc, fractional_coordinates, parameters_first)
    if neighbor_fn is None:
        return made
    cell = jnp.asarray(system.cell)
    r = made._jax_md_coordinates(jnp.asarray(system.positions), cell)
    box = {"box": cell.T} if fractional_coordinates else {}
    return FromJaxMD(
        energy_fn,
        neighbor_fn.allocate(r, **box),
        system.pbc,
        fractional_coordinates,
        parameters_first,
    )
