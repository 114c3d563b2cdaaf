"""What does not move, as one projector: rigid motions, fixed particles, rattlers.

A minimum is unique only up to rigid motions that cost no energy. Derivatives are those of the
pseudo-inverse on the complement: zero mean displacement, zero for what is fixed or loose.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mdsens.linear import Projector
from mdsens.neighbors import Pairs

# Squared length below which a motion counts as absent (a rotation of a straight molecule about its
# own axis); translations have length sqrt(N), rotations move their farthest particle by about one.
_ABSENT = 1e-10


def rigid_projector(
    positions: jax.Array,
    cell: jax.Array,
    pbc: tuple[bool, ...],
    fixed: jax.Array,
    rattler: jax.Array,
    n_extra: int = 0,
) -> Projector:
    """Projector that removes fixed particles, rattlers and the rigid motions of the rest.

    Rigid motions: d translations, and the rotations within the free directions (3 for a cluster in
    3D, 1 for a wire or a cluster in 2D, none for a crystal); only those that leave every fixed
    particle in place survive.

    Args:
        positions: (N, d).  cell: (d, d).
        fixed, rattler: (N,) bool; fixed particles restrict the rigid motions, rattlers are just
            left out of them.
        n_extra: unknowns after the N d coordinates (strain), never removed.

    Returns:
        Projector over N d + n_extra unknowns; absent motions are zero columns of its basis. As the
        positions change the basis keeps spanning the rigid motions, and is orthonormal to zeroth
        order only.
    """
    n, d = positions.shape
    modes = _rigid_modes(positions, cell, pbc)
    free = ~(fixed | rattler)
    held = jnp.where(fixed[:, None, None], modes, 0.0).reshape(n * d, -1)
    allowed = modes.reshape(n * d, -1) @ _null_space(held)
    active = jnp.repeat(free, d).astype(positions.dtype)
    basis = _orthonormal(active[:, None] * allowed)
    mask = jnp.concatenate([active, jnp.ones(n_extra)])
    return Projector(mask=mask, basis=jnp.pad(basis, ((0, n_extra), (0, 0))))


def zero_modes(projector: Projector) -> jax.Array:
    """How many rigid motions the projector removes."""
    return jnp.sum(jnp.sum(projector.basis**2, axis=0) > 0.5)


def rattlers(pairs: Pairs, contacts: jax.Array, fixed: jax.Array, dimension: int) -> jax.Array:
    """(N,) True for particles with fewer than d + 1 contacts, removed until none is left.

    Removing one takes its contacts from its neighbours, who may then fall in turn. Fixed particles
    are walls: they hold others and are never removed.
    """
    n = fixed.shape[0]

    def count(alive: jax.Array) -> jax.Array:
        live = (contacts & alive[pairs.i] & alive[pairs.j]).astype(jnp.int32)
        zeros = jnp.zeros(n, jnp.int32)
        return zeros.at[pairs.i].add(live).at[pairs.j].add(live)

    def fall(carry):
        alive, _ = carry
        kept = alive & (fixed | (count(alive) >= dimension + 1))
        return kept, jnp.any(kept != alive)

    alive, _ = jax.lax.while_loop(lambda c: c[1], fall, (jnp.ones(n, bool), jnp.asarray(True)))
    return ~alive


def _rigid_modes(positions: jax.Array, cell: jax.Array, pbc: tuple[bool, ...]) -> jax.Array:
    """(N, d, m) translations, then rotations within the free directions; of comparable length."""
    n, d = positions.shape
    translations = jnp.broadcast_to(jnp.eye(d), (n, d, d))
    frame = _free_frame(cell, pbc)
    arm = (positions - jnp.mean(positions, axis=0)[None]) @ frame.T
    arm = arm / jnp.maximum(jnp.max(jnp.abs(arm), initial=0.0), 1e-300)
    q = frame.shape[0]
    rotations = [
        arm[:, a, None] * frame[None, b] - arm[:, b, None] * frame[None, a]
        for a in range(q)
        for b in range(a + 1, q)
    ]
    return jnp.concatenate([translations, *(r[:, :, None] for r in rotations)], axis=2)


def _free_frame(cell: jax.Array, pbc: tuple[bool, ...]) -> jax.Array:
    """(q, d) orthonormal vectors orthogonal to all periodic lattice vectors."""
    order = [a for a, p in enumerate(pbc) if p] + [a for a, p in enumerate(pbc) if not p]
    q = jnp.linalg.qr(cell[jnp.array(order)].T)[0]
    return q[:, sum(pbc) :].T


def _null_space(columns: jax.Array) -> jax.Array:
    """(m, m) combinations c with columns @ c = 0, as columns; other columns are zero."""
    values, vectors = _frozen_eigh(columns.T @ columns)
    return jnp.where((values <= _ABSENT * jnp.maximum(1.0, values[-1]))[None], vectors, 0.0)


def _orthonormal(columns: jax.Array) -> jax.Array:
    """Orthonormal basis of the span, zero columns where the rank falls short."""
    values, vectors = _frozen_eigh(columns.T @ columns)
    present = values > _ABSENT * jnp.maximum(values[-1], 1.0)
    scale = jnp.where(present, 1.0 / jnp.sqrt(jnp.where(present, values, 1.0)), 0.0)
    return columns @ (vectors * scale[None])


def _frozen_eigh(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigenvectors as mere coefficients: translations have equal eigenvalues, and how those of
    equal ones turn has no derivative."""
    return jnp.linalg.eigh(jax.lax.stop_gradient(matrix))
