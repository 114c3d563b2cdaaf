"""What is measured: pure functions of (potential, params, state).

`state` is a Minimum, any Configuration, or a System (measured as it stands). All are differentiable
in params and state except `coordination`. With `mdsens.relax` inside, jax.grad gives the total
derivative: d o(x*(p), p)/dp = partial o/partial p + (dx*/dp)^T partial o/partial x.
"""

from __future__ import annotations

from mdsens.observables.basic import cell, energy, positions, pressure, stress, volume
from mdsens.observables.configuration import as_configuration
from mdsens.observables.contacts import (
    ContactNetwork,
    contact_network,
    coordination,
    force_distribution,
)
from mdsens.observables.elasticity import (
    Observable,
    bulk_modulus,
    elastic_tensor,
    elastic_tensor_clamped,
    elastic_tensor_energy,
    nonaffine_displacements,
    poisson_ratio,
    shear_modulus,
)

OBSERVABLES: dict[str, Observable] = {
    "energy": energy,
    "pressure": pressure,
    "stress": stress,
    "volume": volume,
    "cell": cell,
    "positions": positions,
    "coordination": coordination,
    "elastic_tensor": elastic_tensor,
    "elastic_tensor_clamped": elastic_tensor_clamped,
    "elastic_tensor_energy": elastic_tensor_energy,
    "bulk_modulus": bulk_modulus,
    "shear_modulus": shear_modulus,
    "poisson_ratio": poisson_ratio,
}

__all__ = [
    "OBSERVABLES",
    "ContactNetwork",
    "Observable",
    "as_configuration",
    "contact_network",
    "force_distribution",
    "nonaffine_displacements",
    *OBSERVABLES,
]
