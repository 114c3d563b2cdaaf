"""Who touches whom, how hard, and whether that is enough to be rigid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from mdsens.errors import DerivativeUndefined, InputError
from mdsens.gauge import rattlers, rigid_projector, zero_modes
from mdsens.linear import Projector, SparseDirect
from mdsens.observables.configuration import as_configuration
from mdsens.observables.refused import without_derivative
from mdsens.potentials import Potential

# Stiffness below this fraction of the largest is none: the floppiest packings that can be made are
# orders of magnitude above, round-off is as far below.
_FLOPPY = 1e-11


def coordination(potential: Potential, params: Any, state: Any) -> jax.Array:
    """Mean number of contacts Z = 2 N_contacts / (N - N_rattlers) among non-rattlers, ().

    Measured, not differentiable (a step function): its derivative is NaN. Zero where all are
    rattlers.

    Raises:
        InputError: the potential does not know contacts.
    """
    s = as_configuration(potential, params, state)
    kept, loose = _backbone("coordination", potential, params, s)
    z = 2.0 * jnp.sum(kept) / jnp.maximum(jnp.sum(~loose), 1)
    return without_derivative(z, (params, s.positions))


@dataclass(frozen=True, eq=False)
class ContactNetwork:
    """The contacts of a packing without its rattlers, in NumPy.

    Forces f along the contacts leave the net forces A f on the particles, A the equilibrium matrix;
    lengths of contacts change by -A^T u. A f = 0 are states of self-stress, A^T u = 0 modes that
    cost nothing; their numbers differ by what Maxwell counted:

        states_of_self_stress - floppy_modes = contacts - isostatic

    Maxwell 1864, doi:10.1080/14786446408643668; Calladine, doi:10.1016/0020-7683(78)90052-5;
    Goodrich, Liu, Nagel, doi:10.1103/PhysRevLett.109.095704.

    Attributes:
        pairs: (M, 2) particles i, j of each contact.
        vectors: (M, d) from i to j (the periodic image that touches).
        forces: (M,) -de/dr, positive in repulsion.
        free: (N,) particles that are neither rattlers nor fixed.
        rattlers: (N,) bool.
        rigid_motions: that cost nothing, whatever the contacts; d in a periodic cell.
    """

    pairs: np.ndarray
    vectors: np.ndarray
    forces: np.ndarray
    free: np.ndarray
    rattlers: np.ndarray
    rigid_motions: int

    @property
    def contacts(self) -> int:
        """M."""
        return len(self.pairs)

    @property
    def isostatic(self) -> int:
        """The contacts that make rigid if none is redundant: degrees of freedom less rigid motions."""
        return self.vectors.shape[1] * int(self.free.sum()) - self.rigid_motions

    @property
    def excess(self) -> int:
        """contacts - isostatic."""
        return self.contacts - self.isostatic

    @property
    def coordination(self) -> float:
        """2 M / particles that are no rattlers; 0 where there are none."""
        return 2.0 * self.contacts / max(int(np.sum(~self.rattlers)), 1)

    @cached_property
    def equilibrium_matrix(self) -> sp.csr_array:
        """A, (N d, M): column c has -n_c at particle i and n_c at j, n_c = vectors_c / |vectors_c|;
        rows of particles that are not free are zero."""
        n, d = len(self.free), self.vectors.shape[1]
        normals = self.vectors / np.linalg.norm(self.vectors, axis=1, keepdims=True)
        rows = d * self.pairs[:, :, None] + np.arange(d)
        values = np.stack([-normals, normals], axis=1) * self.free[self.pairs][:, :, None]
        columns = np.broadcast_to(np.arange(len(normals))[:, None, None], rows.shape)
        entries = (values.ravel(), (rows.ravel(), columns.ravel()))
        return sp.coo_array(entries, shape=(n * d, len(normals))).tocsr()

    @cached_property
    def floppy_modes(self) -> int:
        """Motions that change no contact to first order, rigid motions apart.

        Counted as eigenvalues of A A^T below 1e-11 of its norm, by the inertia of a factorisation.

        Raises:
            DerivativeUndefined: the factorisation breaks down.
        """
        active = np.repeat(self.free, self.vectors.shape[1])
        a = self.equilibrium_matrix[active]
        if a.shape[0] == 0 or a.shape[1] == 0:
            return a.shape[0] - self.rigid_motions
        stiffness = sp.csc_array(a @ a.T)
        level = _FLOPPY * abs(stiffness).sum(axis=0).max()
        shifted = stiffness - level * sp.eye_array(a.shape[0], format="csc")
        below = SparseDirect().factorize(shifted, Projector.identity(a.shape[0])).inertia
        if below < 0:
            raise DerivativeUndefined(
                "floppy_modes: the rank of the equilibrium matrix cannot be told from its "
                "factorisation; count the singular values of `equilibrium_matrix` instead"
            )
        return below - self.rigid_motions

    @property
    def states_of_self_stress(self) -> int:
        """Independent sets of contact forces in balance, M - rank A."""
        return self.excess + self.floppy_modes


def contact_network(potential: Potential, params: Any, state: Any) -> ContactNetwork:
    """The contacts among particles that are no rattlers, with their forces. Eager.

    Contacts between two fixed particles do not count: nothing hangs on them.

    Raises:
        InputError: the potential knows no contacts.
    """
    s = as_configuration(potential, params, state)
    kept, loose = _backbone("contact_network", potential, params, s)
    pairs = s.neighbors
    rigid = rigid_projector(s.positions, s.cell, s.pbc, s.held, loose)
    kept = np.asarray(kept & ~(s.held[pairs.i] & s.held[pairs.j]))
    forces = potential.pair_forces(params, s.positions, s.cell, pairs)
    return ContactNetwork(
        pairs=np.stack([pairs.i, pairs.j], axis=1)[kept],
        vectors=np.asarray(pairs.vectors(s.positions, s.cell))[kept],
        forces=np.asarray(forces)[kept],
        free=np.asarray(~(loose | s.held)),
        rattlers=np.asarray(loose),
        rigid_motions=int(zero_modes(rigid)),
    )


def force_distribution(networks: Sequence[ContactNetwork], edges: Any) -> np.ndarray:
    """P(f) of contact forces by their mean, (B,), in bins between `edges`, (B + 1,).

    The forces of each packing are divided by their own mean, so that packings at different
    pressures can be put together; then the integral of P and that of f P are one if the edges
    enclose all forces. Forces outside the edges count in the norm. Rattlers carry none.

    Good edges: np.linspace(0, 5, 51). Forces of frictionless packings peak near the mean and have
    a tail about as thin as an exponential.

    Raises:
        InputError: no network has a contact, or the edges do not increase.

    O'Hern, Langer, Liu, Nagel 2001, doi:10.1103/PhysRevLett.86.111.
    """
    limits = np.asarray(edges, dtype=float)
    if limits.ndim != 1 or limits.size < 2 or not np.all(np.diff(limits) > 0.0):
        raise InputError("force_distribution: edges must be increasing numbers, at least two")
    scaled = [n.forces / n.forces.mean() for n in networks if n.contacts]
    if not scaled:
        raise InputError("force_distribution: there are no contacts; compress the packing")
    forces = np.concatenate(scaled)
    counts, _ = np.histogram(forces, limits)
    return counts / (forces.size * np.diff(limits))


def _backbone(name: str, potential: Potential, params: Any, s: Any) -> tuple[jax.Array, jax.Array]:
    """(P,) contacts without those of rattlers, and (N,) rattlers."""
    touching = potential.contacts(params, s.positions, s.cell, s.neighbors)
    if touching is None:
        raise InputError(
            f"{name}: potential {potential.kind} knows no contacts; "
            "it is defined for soft_sphere and wca"
        )
    loose = rattlers(s.neighbors, touching, s.held, s.positions.shape[1])
    return touching & ~loose[s.neighbors.i] & ~loose[s.neighbors.j], loose
