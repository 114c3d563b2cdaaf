"""SciPy's minimisers and root finders as solvers for `custom_root`.

fit   = custom_root(jax.grad(loss))(scipy_minimize(loss))
solve = custom_root(F)(scipy_root(F))
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import scipy.optimize
from jax.flatten_util import ravel_pytree

from mdsens.errors import NotConverged
from mdsens.implicit.host import host
from mdsens.implicit.signature import signature_of

Function = Callable[..., Any]
_WITHOUT_GRADIENT = ("nelder-mead", "powell", "cobyla", "cobyqa")
_WITH_JACOBIAN = ("hybr", "lm")


def scipy_minimize(
    fun: Function,
    method: str = "BFGS",
    tol: float | None = 1e-6,
    options: dict[str, Any] | None = None,
) -> Function:
    """A solver(init, *args) -> argmin_x fun(x, *args) by `scipy.optimize.minimize`.

    Runs anywhere, inside jit and vmap too (`host`). Its result is as good as `tol`, and so is the
    derivative that `custom_root` gives it: |x - x*| ~ tol / (smallest curvature). Minimisers compare
    values of fun, and rounding in these stops them near slopes of 1e-8 sqrt(fun curvature); for more
    digits start `scipy_root(jax.grad(fun))` from what they find.

    Args:
        fun: fun(x, *args) -> scalar, traceable by JAX; x any pytree of float64 arrays. Its gradient
            comes from JAX, compiled.
        method: SciPy's name. Those that ask for a Hessian are not served.
        tol: in SciPy's meaning for the method; for BFGS the largest component of the gradient, for
            L-BFGS-B also the relative decrease in a step, which ends it much earlier.
        options: SciPy's.

    Raises:
        NotConverged: from the solver, where SciPy does not report success; NaN under jit and vmap.
            Often `tol` is below what rounding in fun allows.
    """
    plain = method.lower() in _WITHOUT_GRADIENT

    def minimize(value: Function, init: Any, *args: Any, **kwargs: Any) -> Any:
        start, unravel = _ravel(init)

        def objective(v: np.ndarray) -> Any:
            found = value(unravel(v))
            return float(found) if plain else (float(found[0]), _ravel(found[1])[0])

        found = scipy.optimize.minimize(
            objective, start, jac=None if plain else True, method=method, tol=tol, options=options
        )
        slope = np.max(np.abs(found.get("jac", np.nan)), initial=0.0)
        return _unless_failed(found, unravel, method, f"largest slope {slope:.1e}")

    return _host(minimize, fun, fun if plain else jax.value_and_grad(fun))


def scipy_root(
    residual: Function,
    method: str = "hybr",
    tol: float | None = 1e-10,
    options: dict[str, Any] | None = None,
) -> Function:
    """A solver(init, *args) -> x with residual(x, *args) = 0 by `scipy.optimize.root`.

    Args:
        residual: F(x, *args) -> pytree like x, traceable by JAX.
        method: SciPy's name; "hybr" and "lm" are given the Jacobian, compiled, and suit up to some
            hundreds of unknowns; "krylov" and "df-sane" need none.
        tol: in SciPy's meaning for the method; for hybr the relative change of x.
        options: SciPy's.

    Raises:
        NotConverged: from the solver, where SciPy does not report success; NaN under jit and vmap.
    """
    dense = method.lower() in _WITH_JACOBIAN

    def evaluate(x: Any, *args: Any, **kwargs: Any) -> Any:
        flat, unravel = ravel_pytree(x)

        def force(v: jax.Array) -> jax.Array:
            return ravel_pytree(residual(unravel(v), *args, **kwargs))[0]

        return (force(flat), jax.jacfwd(force)(flat)) if dense else force(flat)

    def root(value: Function, init: Any, *args: Any, **kwargs: Any) -> Any:
        start, unravel = _ravel(init)
        found = scipy.optimize.root(
            lambda v: value(unravel(v)),
            start,
            jac=dense or None,
            method=method,
            tol=tol,
            options=options,
        )
        size = np.max(np.abs(found.fun), initial=0.0)
        return _unless_failed(found, unravel, method, f"largest |F| {size:.1e}")

    return _host(root, residual, evaluate)


def _host(solver: Function, fun: Function, evaluate: Function) -> Function:
    """`host`, taking the arguments of `fun`."""
    taken = signature_of(fun)
    value = inspect.Parameter("_value", inspect.Parameter.POSITIONAL_ONLY)
    signature = taken.replace(parameters=[value, *taken.parameters.values()])
    setattr(solver, "__signature__", signature)  # noqa: B010
    return host(solver, evaluate=evaluate)


def _unless_failed(found: Any, unravel: Function, method: str, size: str) -> Any:
    x = unravel(found.x)
    if not found.success:
        raise NotConverged(
            f"SciPy's {method} did not converge ({size}): {found.message}; try another tol, method "
            "or start",
            x,
        )
    return x


def _ravel(tree: Any) -> tuple[np.ndarray, Function]:
    """A vector and its way back, in NumPy: this runs where JAX must not."""
    leaves, treedef = jax.tree_util.tree_flatten(tree)
    shapes = [np.shape(leaf) for leaf in leaves]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]

    def unravel(v: np.ndarray) -> Any:
        parts = zip(np.split(v, ends), shapes, strict=True)
        return jax.tree_util.tree_unflatten(treedef, [part.reshape(s) for part, s in parts])

    flat = [np.ravel(leaf) for leaf in leaves]
    return np.concatenate(flat).astype(np.float64), unravel
