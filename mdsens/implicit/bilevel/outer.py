"""The outer loop of a bi-level problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from mdsens.errors import InputError
from mdsens.implicit.bilevel.hypergradient import Hypergradient, OuterLoss, hypergradient
from mdsens.implicit.bilevel.state import (
    BilevelRecord,
    BilevelResult,
    BilevelState,
    require_good,
    resumed,
    stacked,
)
from mdsens.implicit.bilevel.warm import NO_ADJOINT, WARM, WarmImplicit
from mdsens.implicit.estimators import Estimator
from mdsens.implicit.iteration import Iteration

Progress = Callable[[str, float, float | None, str], None]
Evaluated = tuple[BilevelState, Hypergradient, BilevelRecord]
OuterStep = Callable[[BilevelState, Any, tuple], Evaluated]


def bilevel(
    outer_loss: OuterLoss,
    inner: Iteration,
    optimizer: optax.GradientTransformation,
    theta0: Any,
    x0: Any,
    *,
    steps: int,
    estimator: Estimator | WarmImplicit = WARM,
    reduction: float = 0.01,
    gradient_tol: float = 0.0,
    project: Callable[[Any], Any] = lambda theta: theta,
    data: Callable[[int], Any] | None = None,
    state: BilevelState | None = None,
    progress: Progress | None = None,
    callback: Callable[[BilevelState, BilevelRecord], None] | None = None,
) -> BilevelResult:
    """Minimise L(x*(theta), theta) over theta, where F(x*(theta), theta) = 0.

        x_k, w_k:      F(x, theta_k) = 0 and A^T w = dL/dx, both started from x_{k-1}, w_{k-1}
        theta_{k+1} = project(theta_k + optimizer(dL/dtheta - B^T w_k)),    A = dF/dx, B = dF/dtheta

    The first evaluation, the last one, and any that would end the run are made to full accuracy
    (`inner.tol`, `estimator.rtol`); those between only follow theta, see `reduction`. The outer step
    is compiled once.

    Where F(x, theta) = 0 has several solutions, warm starts follow the one that x0 leads to, and
    what is found depends on the path (Vicol et al. 2022, arXiv:2212.14032).

    Args:
        outer_loss: L(x, theta) -> scalar, or L(x, theta, batch) with `data`.
        inner: an iteration for F(x, theta) = 0.
        optimizer: an optax optimiser, such as `optax.adam(0.01)`. It is given the loss as `value`;
            line searches, which need the loss elsewhere, are not supported.
        theta0: pytree of floats.
        x0: pytree of floats, start of the first inner iteration.
        steps: outer steps in all, those of a `state` that is continued included.
        estimator: `WarmImplicit(symmetric=True)` where F is a gradient; any other estimator is
            applied at the x found, which still is warm.
        reduction: fraction of the residual of each warm start that may remain. 0.01 rarely changes
            the course of theta visibly; 0.1 costs less where outer steps shrink with the gradient
            (not so with Adam at a constant rate); 0 asks for full accuracy throughout.
        gradient_tol: stop where |theta - project(theta - gradient)| is no larger.
        project: onto the allowed theta, for instance
            `functools.partial(optax.projections.projection_box, lower=0.0, upper=1.0)`.
        data: step -> batch, handed to the outer loss; `lambda step: next(batches)` for an
            iterator. Batches of one shape, or every new shape compiles again.
        state: of an earlier run with the same arguments, which is continued.
        progress: called as progress("bilevel", steps made, steps, text).
        callback: called with the state after each outer step and the record of that step; the place
            to save the state.

    Raises:
        NotConverged: the inner iteration missed its tolerance, or the loss is not finite.
        DerivativeUndefined: the adjoint solve missed its tolerance, or the gradient is not finite.
            Both name the outer step; their `result` is the last state that could be evaluated
            (None if there is none).
        InputError, Float32Error: theta0, x0 or `state` does not fit, or `reduction` is not a
            fraction.

    Pedregosa 2016, arXiv:1602.02355; Arbel & Mairal 2022, arXiv:2111.14580.
    """
    if not 0.0 <= reduction < 1.0:
        raise InputError(f"bilevel: reduction = {reduction} must be at least 0 and less than 1")
    optimizer = optax.with_extra_args_support(optimizer)
    start = BilevelState.initial(optimizer, theta0, x0, estimator)
    step = jax.jit(partial(_outer_step, outer_loss, inner, estimator, optimizer, project))
    run = _Run(step, start if state is None else resumed(state, start))
    tell, keep, batch = progress or _silent, callback or _silent, ()
    while True:
        made = int(run.state.step)
        done = made >= steps
        if data is not None and not (done and batch):
            batch = (data(made),)
        exact = done or made == 0 or reduction == 0.0
        following, found, record = run.evaluate(0.0 if exact else reduction, batch)
        if not exact and record.gradient_norm <= gradient_tol:
            exact = True
            run.state = replace(run.state, x=found.x, memory=found.memory)
            following, found, record = run.evaluate(0.0, batch)
        stationary = exact and bool(record.gradient_norm <= gradient_tol)
        text = f"loss {record.value:.6g}, gradient {record.gradient_norm:.1e}"
        tell("bilevel", made, steps, text)
        if done or stationary:
            return BilevelResult(
                run.state.theta, found.x, found.value, found.gradient, stationary,
                stacked(run.records), run.state,
            )  # fmt: skip
        run.state = following
        keep(following, record)


def _silent(*told: Any) -> None:
    del told


class _Run:
    """The mutable part: where the run stands, what it told, and where it last could be evaluated."""

    def __init__(self, step: OuterStep, state: BilevelState):
        self.step, self.state = step, state
        self.records: list[BilevelRecord] = []
        self.good: BilevelState | None = None

    def evaluate(self, reduction: float, batch: tuple) -> Evaluated:
        following, found, told = self.step(self.state, reduction, batch)
        record = jax.device_get(told)
        require_good(record, jax.device_get((found.inner, found.adjoint)), self.good)
        self.records.append(record)
        self.good = self.state
        return following, found, record


def _outer_step(
    outer_loss: OuterLoss,
    inner: Iteration,
    estimator: Estimator | WarmImplicit,
    optimizer: optax.GradientTransformationExtraArgs,
    project: Callable[[Any], Any],
    state: BilevelState,
    reduction: Any,
    batch: tuple,
) -> Evaluated:
    found = hypergradient(
        outer_loss, inner, state.theta, state.x, state.memory, *batch,
        estimator=estimator, reduction=reduction,
    )  # fmt: skip
    updates, memory = optimizer.update(
        found.gradient, state.optimizer, state.theta, value=found.value, grad=found.gradient
    )
    theta = project(optax.apply_updates(state.theta, updates))
    following = BilevelState(theta, found.x, found.memory, memory, state.step + 1)
    downhill = jax.tree_util.tree_map(jnp.subtract, state.theta, found.gradient)
    moved = jax.tree_util.tree_map(jnp.subtract, state.theta, project(downhill))
    adjoint = found.adjoint or NO_ADJOINT
    record = BilevelRecord(
        state.step, found.value, jnp.linalg.norm(ravel_pytree(moved)[0]), reduction,
        found.inner.steps, found.inner.residual,
        adjoint.products, adjoint.residual, adjoint.refreshed,
    )  # fmt: skip
    return following, found, record
