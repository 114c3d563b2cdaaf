"""A state seen as a linear system: what is removed, the Hessian's action, its assembled form."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

from mdsens.equilibrium.assembly import dense, diagonal, sparse
from mdsens.equilibrium.descent import crowd
from mdsens.equilibrium.lists import FEW
from mdsens.equilibrium.problem import Problem, Setting, spacing
from mdsens.gauge import rattlers, rigid_projector
from mdsens.linear import (
    HostSolver,
    Inverse,
    Operator,
    Projector,
    SolveInfo,
    SparseDirect,
    choose,
)
from mdsens.neighbors import nearby, places_for, room_for_pairs
from mdsens.potentials import LocalHessian

# Energy of a rattler's contacts, in units of stiffness times spacing squared, that is round-off:
# forces of 1e-8.
_NEGLIGIBLE = 1e-16
# A small step, as a fraction of the cutoff: far more than a relaxed state is from its minimum.
_STEP = 0.01


class Backbone(NamedTuple):
    """A state without what does not take part in its rigidity.

    Attributes:
        setting: with the contacts of rattlers taken out of the list, if that is sound.
        projector: removes rattlers, fixed particles and rigid motions.
        rattlers: (N,) bool.
        nudge: (n,) a step that frees rattlers from contacts they still touch.
        sound: contacts of rattlers carry no load to speak of.
    """

    setting: Setting
    projector: Projector
    rattlers: jax.Array
    nudge: jax.Array
    sound: jax.Array


@partial(jax.jit, static_argnames="problem")
def backbone(problem: Problem, setting: Setting) -> Backbone:
    """Find the rattlers and take them out.

    A rattler in touch with the backbone within round-off would otherwise lend it a stiffness and a
    derivative that have no meaning.
    """
    n, d = setting.positions.shape
    m = len(problem.strain_basis())
    s = setting
    fixed = jnp.asarray(s.fixed)
    touching = problem.potential.contacts(s.params, s.positions, s.cell, s.neighbors)
    loose, nudge, sound = jnp.zeros(n, bool), jnp.zeros(n * d + m), jnp.asarray(True)
    if touching is not None:
        loose = rattlers(s.neighbors, touching, fixed, d)
        less = s.neighbors.without(loose)
        nudge, sound = _loose_forces(problem, s, replace(s, neighbors=less), loose)
        valid = jnp.where(sound, less.valid, s.neighbors.valid)
        setting = replace(s, neighbors=replace(less, valid=valid))
    projector = rigid_projector(s.positions, s.cell, problem.pbc, fixed, loose, m)
    return Backbone(setting, projector, loose, nudge, sound)


def _loose_forces(
    problem: Problem, full: Setting, kept: Setting, loose: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(nudge, sound): half as far again as each rattler's contacts push it, by their stiffness."""
    n, d = full.positions.shape
    taken = replace(full.neighbors, valid=full.neighbors.valid & ~kept.neighbors.valid)
    energy, load = jax.value_and_grad(problem.potential.energy, argnums=1)(
        full.params, full.positions, full.cell, taken
    )
    blocks = diagonal_blocks(problem, full)
    stiffness = jnp.zeros(n) if blocks is None else jnp.trace(blocks, axis1=1, axis2=2)
    push = -1.5 * load / jnp.maximum(stiffness, 1e-300)[:, None]
    nudge = jnp.where((loose & (stiffness > 0.0))[:, None], push, 0.0).reshape(-1)
    # Energies, not net forces: a column squeezed from both ends is in balance and carries load.
    sound = energy <= _NEGLIGIBLE * jnp.max(stiffness, initial=0.0) * spacing(full) ** 2
    return jnp.pad(nudge, (0, problem.start(full).size - n * d)), sound


def solver_for(problem: Problem, n: int, traced: bool, rtol: float = 1e-10) -> tuple[Any, str]:
    """The linear solver for a minimum with n unknowns, and the reason in words."""
    return choose(
        n,
        problem.dimension,
        definite=True,
        local=problem.potential.is_local,
        device=jax.default_backend(),
        traced=traced,
        rtol=rtol,
    )


def operator_at(problem: Problem, setting: Setting) -> Operator:
    """The Hessian of W at z = 0, by its action, with blocks for preconditioning where known."""
    blocks = diagonal_blocks(problem, setting) if len(problem.strain_basis()) == 0 else None
    size = problem.start(setting).size
    return Operator(lambda v: _hessian_product(problem, setting, v), size, blocks)


@partial(jax.jit, static_argnames="problem")
def _hessian_product(problem: Problem, setting: Setting, v: jax.Array) -> jax.Array:
    return problem.hessian_product(problem.start(setting), setting, v)


def inverse_at(
    solver: HostSolver, problem: Problem, here: Backbone, spent: Inverse | None = None
) -> Inverse:
    """(P H P)^+ on the host; the factor of a state nearby is `spent` on it if it is near enough."""
    matrix = assembled_hessian(problem, interacting(problem, here.setting))
    if isinstance(solver, SparseDirect) and spent is not None:
        renewed = spent.renewed(matrix, here.projector, solver.rtol)
        if renewed is not None:
            return renewed
    return solver.factorize(matrix, here.projector)


@partial(jax.jit, static_argnames=("problem", "solver"))
def solved_by(
    solver: Any, problem: Problem, setting: Setting, projector: Projector, rhs: jax.Array
) -> tuple[jax.Array, SolveInfo]:
    """(P H P)^+ rhs by a traceable solver, compiled once; a loop run from eager code would be
    compiled each time."""
    return solver.solve(operator_at(problem, setting), rhs, projector)


def cholesky(problem: Problem, here: Backbone) -> tuple[jax.Array, jax.Array]:
    """Lower factor of P H P + s (1 - P), NaN unless H is positive on the complement, and s = |H|."""
    p = here.projector
    matrix = p(p(dense_hessian(problem, here.setting)).T)
    scale = jnp.maximum(jnp.max(jnp.sum(jnp.abs(matrix), axis=1)), 1e-300)
    lifted = matrix + scale * (jnp.eye(p.size) - p(jnp.eye(p.size)))
    return jnp.linalg.cholesky(0.5 * (lifted + lifted.T)), scale


def dense_hessian(problem: Problem, setting: Setting) -> jax.Array:
    """d2W/dz2 as an (n, n) array: local blocks where known, else n products."""
    local = _local(problem, setting)
    if local is None:
        return operator_at(problem, setting).dense()
    n, d = setting.positions.shape
    matrix = dense(local, n, d)
    if len(problem.strain_basis()) == 0:
        return matrix
    rows = _strain_rows(problem, setting)
    border, corner = rows[:, : n * d], rows[:, n * d :]
    return jnp.block([[matrix, border.T], [border, corner]])


@partial(jax.jit, static_argnames="problem")
def diagonal_blocks(problem: Problem, setting: Setting) -> jax.Array | None:
    """(N, d, d) d2W/dx_i dx_i; None for a potential without known local terms."""
    local = _local(problem, setting)
    if local is None:
        return None
    return diagonal(local, *setting.positions.shape)


def assembled_hessian(problem: Problem, setting: Setting) -> scipy.sparse.csc_array | None:
    """The Hessian of W as a sparse matrix; None for a potential without known local terms."""
    local = _local(problem, setting)
    if local is None:
        return None
    n, d = setting.positions.shape
    matrix = sparse(local, n, d)
    if len(problem.strain_basis()) == 0:
        return matrix
    rows = np.asarray(_strain_rows(problem, setting))
    border = scipy.sparse.csc_array(rows[:, : n * d])
    corner = scipy.sparse.csc_array(rows[:, n * d :])
    whole = scipy.sparse.block_array([[matrix, border.T], [border, corner]], format="csc")
    return scipy.sparse.csc_array(whole)


@partial(jax.jit, static_argnames="problem")
def _local(problem: Problem, setting: Setting) -> LocalHessian | None:
    s = setting
    return problem.potential.local_hessian(s.params, s.positions, s.cell, s.neighbors)


def interacting(problem: Problem, setting: Setting) -> Setting:
    """The setting with those pairs only that interact, here and within a small step. Eager.

    Of the potential's own derivatives only: others may count on all pairs within the list's radius.
    A list has twice the pairs that touch, and the blocks of a site grow with the square of its
    neighbours.
    """
    pairs = setting.neighbors
    if not problem.potential.uses_pairs or (pairs.table is None and len(pairs.types) <= FEW):
        return setting
    here = (setting.positions, setting.cell)
    cutoff = problem.potential.cutoff(setting.params)
    reach, slack = problem.potential.reach(setting.params, pairs), _STEP * cutoff
    near, most = map(int, crowd(problem, setting, setting, slack))
    n = len(pairs.types)
    width = None if pairs.table is None else places_for(most, n)
    short = _nearby(pairs, *here, reach, slack, cutoff, room_for_pairs(near, n), width)
    return replace(setting, neighbors=short)


_nearby = jax.jit(nearby, static_argnames=("room", "width"))


@partial(jax.jit, static_argnames="problem")
def _strain_rows(problem: Problem, setting: Setting) -> jax.Array:
    """H applied to each unit of strain, (m, n)."""
    z = problem.start(setting)
    units = jnp.eye(z.size)[z.size - len(problem.strain_basis()) :]
    return jax.vmap(lambda v: problem.hessian_product(z, setting, v))(units)
