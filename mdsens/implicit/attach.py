"""The implicit function theorem, where the code is.

Let F(x, theta) = 0 define x*(theta). Differentiating along a direction t of theta,

    A u = -B t,    A = dF/dx,    B = dF/dtheta,    u = dx*/dtheta . t

which is a linear function of t: forward mode evaluates it, reverse mode transposes it (one solve
with A^T serves all parameters), and since x* inside A and B carries its own derivative, the rule
differentiates itself to any order. How x* was found appears nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax.flatten_util import ravel_pytree

from mdsens.implicit.auto import AUTO, trusted
from mdsens.implicit.condition import Residual, close, require_unknowns
from mdsens.implicit.guard import Side, guard
from mdsens.implicit.leaves import split, stopped
from mdsens.implicit.solve import Certified
from mdsens.linear.precision import require_float64


def attach(
    optimality_fun: Callable[..., Any],
    sol: Any,
    args: tuple,
    solve: Callable[..., Any] | None = AUTO,
) -> Any:
    """The known solution of F(sol, *args) = 0, with its implicit derivative attached.

    The value is that of `sol`; the derivative with respect to `args`, and to whatever `F` closes
    over, is the one of the implicit function theorem; the derivative with respect to `sol` itself
    is zero. Composes with jvp, vjp, jacfwd, jacrev, every nesting of them, vmap and jit.

    Args:
        optimality_fun: F(sol, *args) -> pytree like sol; traceable by JAX, and differentiable in
            reverse mode too (no while loop around sol) unless `solve` says that A is symmetric.
        sol: pytree of float64 arrays, a root of F to the accuracy wanted of the derivative.
        args: pytrees. Integer and boolean arrays have no derivative; strings, functions, Python
            ints and None are passed on untouched.
        solve: solve(matvec, b) -> x, traceable. A solve that is a pytree (a registered dataclass)
            may hold traced arrays. See `Certified` for what is done with one that is not.

    Returns:
        sol, to be used in its place.

    Raises:
        InputError: F does not return something like sol, or sol holds integers.
        Float32Error: anything is in single precision.
        DerivativeUndefined: in eager code, where the linear solve fails; under jit and vmap (and
            so from jacfwd and jacrev, which use it) the derivative is NaN instead.
    """
    sol = stopped(require_unknowns(sol))
    require_float64(args)
    residual, theta = close(optimality_fun, sol, args)
    return attach_closed(residual, sol, theta, trusted(solve))


def attach_closed(residual: Residual, sol: Any, theta: Any, solve: Certified) -> Any:
    """`attach` for a condition that was made explicit by `close`."""
    arrays, rebuild = split(solve)
    return _attached(residual, rebuild, sol, theta, arrays)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _attached(residual: Residual, rebuild: Any, sol: Any, theta: Any, arrays: Any) -> Any:
    del residual, rebuild, theta, arrays
    return sol


@_attached.defjvp
def _implicit_function_theorem(
    residual: Residual, rebuild: Any, primals: tuple, tangents: tuple
) -> tuple[Any, Any]:
    # What the solve carries (a projector, a preconditioner) steers the solution, not its value.
    sol, theta, arrays = primals
    x = _attached(residual, rebuild, sol, theta, arrays)
    # Linearised once, not re-evaluated in every iteration of the solver.
    matvec = jax.linearize(lambda y: residual(y, theta), x)[1]
    force = jax.jvp(lambda t: residual(x, t), (theta,), (tangents[1],))[1]
    return x, solve_linear(rebuild(arrays), matvec, _negative(force))


def solve_linear(solve: Certified, matvec: Callable[[Any], Any], b: Any) -> Any:
    """x with A x = b as a function JAX can differentiate, transpose and batch.

    Derivatives of the solve are again solves: lax.custom_linear_solve never looks inside. It is
    given one flat vector, because it cannot transpose with a cotangent for some leaves only.
    """
    flat, unravel = ravel_pytree(b)
    if not flat.size:
        return b

    def product(x: jax.Array) -> jax.Array:
        return ravel_pytree(matvec(unravel(x)))[0]

    def solve_flat(flat_matvec: Callable[[jax.Array], jax.Array], r: jax.Array) -> jax.Array:
        x = solve(lambda y: unravel(flat_matvec(ravel_pytree(y)[0])), unravel(r))
        return ravel_pytree(x)[0]

    x = jax.lax.custom_linear_solve(
        product,
        guard(flat, Side.INPUT),
        solve_flat,
        solve_flat,
        symmetric=solve.symmetric,
    )
    return unravel(guard(x, Side.OUTPUT))


def _negative(tree: Any) -> Any:
    return jax.tree_util.tree_map(lambda leaf: -leaf, tree)
