"""What continues a bi-level run, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from mdsens.errors import DerivativeUndefined, InputError, NotConverged
from mdsens.implicit.bilevel.warm import WARM, WarmImplicit
from mdsens.implicit.condition import require_like, require_unknowns
from mdsens.implicit.estimators import Estimator
from mdsens.linear import Outcome, require_float64


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class BilevelState:
    """All that the next outer step depends on: a pytree of arrays.

    To save it, save `jax.tree.leaves(state)`; to restore it in another process, put them into the
    structure of `BilevelState.initial`. What follows is the same to the last bit.

    Attributes:
        theta: the outer unknowns.
        x: start of the inner iteration.
        memory: start of the adjoint solve and its preconditioner; () without one.
        optimizer: state of the optimiser.
        step: outer steps made, ().
    """

    theta: Any
    x: Any
    memory: Any
    optimizer: Any
    step: Any

    @staticmethod
    def initial(
        optimizer: optax.GradientTransformation,
        theta0: Any,
        x0: Any,
        estimator: Estimator | WarmImplicit = WARM,
    ) -> BilevelState:
        """The state before the first outer step; arguments as for `bilevel`.

        Raises:
            InputError, Float32Error: theta0 or x0 is not made of real floating arrays of 64 bits.
        """
        require_float64(theta0)
        theta = jax.tree_util.tree_map(lambda leaf: jnp.asarray(leaf, float), theta0)
        x = jax.tree_util.tree_map(lambda leaf: jnp.asarray(leaf, float), require_unknowns(x0))
        size = ravel_pytree(x)[0].size
        memory = estimator.memory(size) if isinstance(estimator, WarmImplicit) else ()
        return BilevelState(theta, x, memory, optimizer.init(theta), jnp.zeros((), int))


class BilevelRecord(NamedTuple):
    """One evaluation of the outer loss and its gradient; as a history, arrays of them.

    Attributes:
        step: outer steps made before it. An evaluation to full accuracy may follow another one at
            the same theta.
        value: outer loss.
        gradient_norm: |theta - project(theta - gradient)|, which is |gradient| without a projection.
        reduction: fraction of the residuals that was allowed to remain; 0 for full accuracy.
        inner_iterations: steps of the inner iteration.
        inner_residual: |F| at the end.
        adjoint_products: products with A^T, see `AdjointInfo`; 0 for other estimators.
        adjoint_residual: |dL/dx - A^T w| / |dL/dx|; NaN for other estimators.
        refreshed: whether the inverse was made anew.
    """

    step: Any
    value: Any
    gradient_norm: Any
    reduction: Any
    inner_iterations: Any
    inner_residual: Any
    adjoint_products: Any
    adjoint_residual: Any
    refreshed: Any


@dataclass(frozen=True, eq=False)
class BilevelResult:
    """The end of a bi-level run.

    Attributes:
        theta: the outer unknowns.
        x: x*(theta), to the inner iteration's own tolerance.
        value: the outer loss there, ().
        gradient: its gradient there, to full accuracy, a pytree like theta.
        stationary: whether the gradient met its tolerance.
        history: a `BilevelRecord` of NumPy arrays, one entry per evaluation of this call.
        state: what continues the run.
    """

    theta: Any
    x: Any
    value: Any
    gradient: Any
    stationary: bool
    history: BilevelRecord
    state: BilevelState


def resumed(saved: BilevelState, model: BilevelState) -> BilevelState:
    """A saved state on the device.

    Raises:
        InputError: it is not the state of a run like this one.
    """
    try:
        require_like(saved, model, "the saved state holds", "a run with these arguments")
    except InputError as error:
        raise InputError(
            f"bilevel: {error}; continue with the arguments the state was saved under"
        ) from error
    return jax.tree_util.tree_map(jnp.asarray, saved)


def stacked(records: list[BilevelRecord]) -> BilevelRecord:
    """A history from its entries."""
    return BilevelRecord(*(np.asarray(column) for column in zip(*records, strict=True)))


def require_good(record: BilevelRecord, ends: tuple, good: BilevelState | None) -> None:
    """Say what went wrong in one evaluation, if anything did.

    Args:
        ends: how the inner iteration and the adjoint solve ended.
        good: the last state that could be evaluated, for the error.

    Raises:
        NotConverged, DerivativeUndefined: see `bilevel`.
    """
    inner, adjoint = ends
    where = f"bilevel: outer step {int(record.step)}"
    if not inner.converged:
        raise NotConverged(
            f"{where}: the inner iteration stopped at |F| = {float(inner.residual):.3g} after "
            f"{int(inner.steps)} steps; raise its max_steps or tol, or take smaller outer steps",
            good,
        )
    if not np.isfinite(record.value):
        raise NotConverged(
            f"{where}: the outer loss is {float(record.value)}; take smaller outer steps, or keep "
            "theta where the loss is defined by project=",
            good,
        )
    if adjoint is not None and adjoint.outcome != Outcome.CONVERGED:
        raise DerivativeUndefined(
            f"{where}: {Outcome(int(adjoint.outcome)).sentence} (adjoint, relative residual "
            f"{float(adjoint.residual):.1e})",
            good,
        )
    if not np.isfinite(record.gradient_norm):
        raise DerivativeUndefined(
            f"{where}: the gradient of the outer loss is not finite, though the loss is; the linear "
            "solve of the estimator failed, or a root, norm or logarithm of zero is in the loss or F",
            good,
        )
