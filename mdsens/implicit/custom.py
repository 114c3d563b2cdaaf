"""Decorators: a solver of any make becomes a differentiable function of its parameters."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax

from mdsens.errors import InputError
from mdsens.implicit.attach import attach_closed
from mdsens.implicit.auto import AUTO, trusted
from mdsens.implicit.condition import close, is_like, require_same_shape, require_unknowns
from mdsens.implicit.hoist import hoist
from mdsens.implicit.leaves import closes_over_tracers, split, stopped
from mdsens.implicit.signature import as_positional, signature_of, with_defaults
from mdsens.implicit.solved import Asked, unless_wrong
from mdsens.linear.precision import require_float64

Solver = Callable[..., Any]
_NEEDS_CONCRETE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)


def custom_root(
    optimality_fun: Callable[..., Any],
    has_aux: bool = False,
    solve: Callable[..., Any] | None = AUTO,
    reference_signature: Callable[..., Any] | inspect.Signature | None = None,
    accuracy: float | None = 0.1,
) -> Callable[[Solver], Solver]:
    """Decorate solver(init, *args) -> sol with the derivative implied by F(sol, *args) = 0.

        @custom_root(jax.grad(loss))
        def fit(init, theta): ...

    The solver is never differentiated. It runs on arguments without derivatives: outside `jit` and
    `vmap` these are concrete, so that Python loops, SciPy or another program may be inside; `host`
    lets them in there too. The derivative with respect to `init` is zero.

    What the solver returns is taken for a root when it is evaluated, and put to a coarse test when
    it is differentiated (`mdsens.implicit.solved`), so that a solver that gave up, or that solves
    another equation, does not pass unnoticed. The test costs little more than an evaluation of F;
    how good the derivative of a root is that passes, `certify` tells.

    Args:
        optimality_fun: F(sol, *args) -> pytree like sol; takes the arguments of the solver.
        has_aux: the solver returns (sol, aux); aux may hold anything and has no derivative.
        solve: solve(matvec, b) for the linear systems; see `attach`.
        reference_signature: a callable or signature by which keyword arguments of the solver are
            put in the order of F's; that of F itself by default.
        accuracy: the largest part by which a Newton step may change a leaf of the solution before
            its derivative is refused; None for no test.

    Returns:
        A decorator. The decorated solver composes with jvp, vjp, jacfwd, jacrev, all nestings of
        them, vmap (if the solver does) and jit (if the solver does).

    Raises:
        SignatureError (a TypeError): the solver's arguments do not fit F's.
        InputError, Float32Error, DerivativeUndefined: see `attach`.
        DerivativeUndefined: from the derivative, in eager code, where the solver returned NaN or
            something that does not solve F; under jit and vmap the derivative is NaN.

    Blondel et al. 2022, arXiv:2105.15183.
    """
    reference = signature_of(reference_signature or optimality_fun)
    checked = trusted(solve)
    if accuracy is not None and not 0 < accuracy < 1:
        raise InputError(f"accuracy = {accuracy} must lie between 0 and 1, or be None")

    def decorate(solver: Solver) -> Solver:
        signature = signature_of(solver)

        @functools.wraps(solver)
        def solved(*args: Any, **kwargs: Any) -> Any:
            args, kwargs = with_defaults(signature, args, kwargs)
            init, *theta = as_positional(reference, args, kwargs)
            result = _run(solver, *stopped((args, kwargs)))
            sol, put_back = _split_aux(result) if has_aux else (result, lambda x: x)
            sol = stopped(require_unknowns(sol))
            require_float64(theta)
            residual, values = close(optimality_fun, sol, tuple(theta))
            if accuracy is not None:
                asked = Asked(accuracy, checked.symmetric)
                start = stopped(init) if is_like(init, sol) else None
                values = unless_wrong(residual, asked, values, sol, start)
            return put_back(attach_closed(residual, sol, values, checked))

        return solved

    return decorate


def custom_fixed_point(
    fixed_point_fun: Callable[..., Any],
    has_aux: bool = False,
    solve: Callable[..., Any] | None = AUTO,
    reference_signature: Callable[..., Any] | inspect.Signature | None = None,
    accuracy: float | None = 0.1,
) -> Callable[[Solver], Solver]:
    """Decorate solver(init, *args) -> sol with the derivative implied by T(sol, *args) = sol.

    `custom_root` for F(x, *args) = T(x, *args) - x; arguments and errors are the same.
    """

    @functools.wraps(fixed_point_fun)
    def optimality_fun(x: Any, *args: Any) -> Any:
        image = fixed_point_fun(x, *args)
        require_same_shape(image, x)
        return jax.tree_util.tree_map(lambda a, b: a - b, image, x)

    return custom_root(optimality_fun, has_aux, solve, reference_signature, accuracy)


def _run(solver: Solver, args: tuple, kwargs: dict[str, Any]) -> Any:
    """The solver's result, and not a derivative of anything it closes over.

    Called as it is, a solver with a parameter in its closure would be differentiated by it: a waste,
    and impossible in reverse mode where it loops by lax.while_loop. So it is traced with the
    closure's values made arguments, unless it needs them concrete, as a Python loop does.
    """
    try:
        if closes_over_tracers(solver):
            return _run_explicitly(solver, args, kwargs)
    except _NEEDS_CONCRETE:
        pass
    try:
        return solver(*args, **kwargs)
    except _NEEDS_CONCRETE as error:
        error.add_note(
            "mdsens: raised by the solver, which needs numbers where it is being compiled or "
            "batched; decorate it with mdsens.implicit.host as well"
        )
        raise


def _run_explicitly(solver: Solver, args: tuple, kwargs: dict[str, Any]) -> Any:
    dynamic, rebuild = split((args, kwargs))
    put_back: list[Callable[[list[Any]], Any]] = []

    def traced(inputs: list[Any]) -> list[Any]:
        own_args, own_kwargs = rebuild(inputs)
        arrays, whole = split(solver(*own_args, **own_kwargs))
        put_back.append(whole)
        return arrays

    explicit, captured, _ = hoist(traced, dynamic)
    return put_back[0](explicit(stopped(captured), dynamic))


def _split_aux(result: Any) -> tuple[Any, Callable[[Any], Any]]:
    """sol, and the function that puts another sol in its place, keeping named tuples."""
    if not isinstance(result, tuple) or not result:
        raise InputError("with has_aux=True the solver must return a tuple (sol, aux)")
    aux = stopped(tuple(result[1:]))

    def put_back(sol: Any) -> Any:
        named = hasattr(result, "_fields")
        return type(result)(sol, *aux) if named else (sol, *aux)

    return result[0], put_back
