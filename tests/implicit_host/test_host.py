"""Host solvers in front: called with NumPy arrays, anywhere, and never differentiated."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from mdsens.errors import Float32Error, InputError, NotConverged
from mdsens.implicit import Certified, custom_root, host
from mdsens.implicit.asking import _TALKS

THETA = jnp.array([1.0, 2.0, 3.0])
ONES = jnp.ones(3)


def cubic(x, theta):
    return x**3 + x - theta


class Diagonal(Certified):
    """Compiles faster than the default."""

    symmetric = True

    def __call__(self, matvec, b):
        return b / matvec(jnp.ones_like(b))


def bisection(init, theta):
    """A Python loop with a condition on values."""
    assert type(init) is np.ndarray and type(theta) is np.ndarray
    low, high = np.zeros_like(theta), theta
    while np.max(high - low) > 1e-14:
        middle = 0.5 * (low + high)
        below = middle**3 + middle < theta
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return low


def by_scipy(init, theta):
    return scipy.optimize.root(lambda x: x**3 + x - theta, init, tol=1e-13).x


def newton(value, init, theta):
    """Values of JAX functions come from the program that waits."""
    x = init
    for _ in range(50):
        force, slope = value(x)
        assert type(force) is np.ndarray and force.dtype == np.float64
        x = x - np.linalg.solve(slope, force)
    return x


def force_and_slope(x, theta):
    return cubic(x, theta), jax.jacfwd(cubic)(x, theta)


SOLVERS = {
    "a Python loop": host(bisection),
    "SciPy": host(by_scipy),
    "one that asks for values": host(newton, evaluate=force_and_slope),
}
SLOW = ("SciPy",)
EACH = pytest.mark.parametrize(
    "solver",
    [
        pytest.param(s, id=k, marks=pytest.mark.slow if k in SLOW else ())
        for k, s in SOLVERS.items()
    ],
)
differentiated = custom_root(cubic, solve=Diagonal())


def exact(theta):
    x = jnp.asarray(bisection(np.ones(3), np.asarray(theta)))
    return 1 / (3 * x**2 + 1), -6 * x / (3 * x**2 + 1) ** 3


@EACH
def test_in_every_transformation(solver: Callable[..., Any]):
    solved = differentiated(solver)

    def f(theta):
        return jnp.sum(solved(ONES, theta))

    first, second = exact(THETA)
    np.testing.assert_allclose(jax.grad(f)(THETA), first, rtol=1e-10)
    np.testing.assert_allclose(jax.hessian(f)(THETA), jnp.diag(second), rtol=1e-9, atol=1e-12)
    batch = jnp.stack([THETA, 2 * THETA])
    both = jnp.stack([exact(theta)[0] for theta in batch])
    np.testing.assert_allclose(jax.vmap(jax.grad(f))(batch), both, rtol=1e-10)
    compiled = jax.jit(lambda b: (jax.vmap(jax.grad(f))(b), jax.jvp(f, (THETA,), (ONES,))))
    found, (value, slope) = compiled(batch)
    np.testing.assert_allclose(found, both, rtol=1e-10)
    np.testing.assert_allclose([value, slope], [f(THETA), jnp.sum(first)], rtol=1e-10)
    assert not _TALKS


def test_inside_a_loop():
    solved = differentiated(host(newton, evaluate=force_and_slope))
    batch = jnp.stack([THETA, 2 * THETA])
    found = jax.grad(lambda b: jnp.sum(jax.lax.map(lambda t: solved(ONES, t), b)))(batch)
    both = jnp.stack([exact(theta)[0] for theta in batch])
    np.testing.assert_allclose(found, both, rtol=1e-10)


def test_starts_may_be_batched():
    starts = jnp.array([[1.0], [-1.0]])

    def two_roots(value, init, theta):
        x = init
        for _ in range(60):
            x = x - value(x) / (2 * x)
        return x

    solved = host(two_roots, evaluate=lambda x, theta: x**2 - theta)
    found = jax.jit(jax.vmap(solved, (0, None)))(starts, 4.0)
    np.testing.assert_allclose(found, 2 * starts, rtol=1e-14)


def test_members_of_a_batch_end_when_they_are_ready():
    def count(value, init, steps):
        x = init
        for _ in range(int(steps)):
            x = value(x)
        return x

    solved = host(count, evaluate=lambda x, steps: x + 1.0)
    found = jax.jit(jax.vmap(solved, (None, 0)))(jnp.zeros(()), jnp.array([3, 0, 1, 7]))
    np.testing.assert_array_equal(found, [3.0, 0.0, 1.0, 7.0])


def test_equal_questions_are_asked_twice():
    """Two calls with the same arguments are two conversations."""
    solved = host(newton, evaluate=force_and_slope)
    found = jax.jit(lambda t: solved(ONES, t) + solved(ONES, t))(THETA)
    np.testing.assert_allclose(found, 2 * bisection(np.ones(3), np.asarray(THETA)), rtol=1e-12)


def test_parameters_that_the_values_close_over():
    def f(theta):
        def shifted(x):
            return x**3 + x - theta

        solver = host(
            lambda value, init: scipy.optimize.root(value, init, tol=1e-13).x, evaluate=shifted
        )
        return jnp.sum(custom_root(shifted, solve=Diagonal())(solver)(ONES))

    for transform in (jax.grad, lambda f: jax.jit(jax.grad(f))):
        np.testing.assert_allclose(transform(f)(THETA), exact(THETA)[0], rtol=1e-9)


def test_pytrees_auxiliary_data_keywords_and_what_is_no_array():
    like = ({"x": ONES}, {"steps": 0, "force": 0.0})

    def solver(init, theta, mode, note=None):
        assert mode == "bisection" and isinstance(note, set)  # which cannot be hashed
        x = bisection(init["x"], theta)
        return {"x": x}, {"steps": 7, "force": np.float64(0.5)}

    solved = custom_root(lambda u, t, mode, note: {"x": cubic(u["x"], t)}, has_aux=True)(
        host(solver, like=like)
    )

    def f(theta):
        x, aux = solved({"x": ONES}, theta, "bisection", note={1})
        return jnp.sum(x["x"]) + aux["steps"] + aux["force"]

    for transform in (lambda g: g, jax.jit):
        value, gradient = transform(jax.value_and_grad(f))(THETA)
        assert value == pytest.approx(7.5 + bisection(np.ones(3), np.asarray(THETA)).sum())
        np.testing.assert_allclose(gradient, exact(THETA)[0], rtol=1e-9)


def test_the_solver_gets_copies_it_may_write_on():
    def in_place(init, theta):
        init += theta
        theta[:] = 0.0
        return init

    start = np.ones(3)
    for transform in (lambda g: g, jax.jit):
        np.testing.assert_array_equal(transform(host(in_place))(start, THETA), 1 + THETA)
    np.testing.assert_array_equal(start, 1.0)


def failing(value, init, theta):
    if np.any(theta < 0.0):
        raise NotConverged("negative")
    return value(init)


def test_a_failure_is_told_in_eager_code_and_nan_elsewhere():
    for solver in (
        host(failing, evaluate=lambda x, theta: x + theta),
        host(lambda init, theta: failing(lambda x: x + theta, init, theta)),
    ):
        with pytest.raises(NotConverged, match="negative"):
            solver(ONES, -THETA)
        assert np.all(np.isnan(jax.jit(solver)(ONES, -THETA)))
        found = jax.vmap(solver, (None, 0))(ONES, jnp.stack([THETA, -THETA, THETA]))
        np.testing.assert_array_equal(found[jnp.array([0, 2])], jnp.stack([1 + THETA] * 2))
        assert np.all(np.isnan(found[1]))


def test_nan_is_a_failure():
    solver = host(lambda init, theta: init * np.nan)
    with pytest.raises(NotConverged, match="the host solver <lambda> returned NaN"):
        solver(ONES, THETA)
    assert np.all(np.isnan(jax.jit(solver)(ONES, THETA)))


BAD_RESULTS = {
    "another shape": lambda init, theta: theta[:2],
    "another structure": lambda init, theta: (theta,),
    "single precision": lambda init, theta: theta.astype(np.float32),
    "complex": lambda init, theta: theta + 0j,
    "nothing": lambda init, theta: None,
}


@pytest.mark.parametrize("kind", BAD_RESULTS)
def test_results_that_are_not_as_announced(kind: str):
    solver = host(BAD_RESULTS[kind], like=ONES)
    with pytest.raises(InputError, match="the host solver <lambda> returned"):
        solver(ONES, THETA)
    with pytest.raises(jax.errors.JaxRuntimeError, match="the host solver <lambda> returned"):
        jax.jit(solver)(ONES, THETA).block_until_ready()


def test_whatever_else_is_raised_comes_up():
    for solver in (
        host(lambda init, theta: [][3]),
        host(lambda value, init, theta: [][3], evaluate=cubic),
        host(lambda value, init, theta: value(init[:2]), evaluate=cubic),
    ):
        with pytest.raises((IndexError, TypeError)):
            solver(ONES, THETA)
        with pytest.raises(jax.errors.JaxRuntimeError, match=r"list index|asked for a value at"):
            jax.jit(solver)(ONES, THETA).block_until_ready()


def test_shapes_must_be_known_beforehand():
    solver = host(lambda init, theta: theta)
    np.testing.assert_array_equal(solver(None, THETA), THETA)
    with pytest.raises(InputError, match=r"say host\(solver, like="):
        jax.jit(lambda t: solver(None, t))(THETA)
    np.testing.assert_array_equal(
        jax.jit(lambda t: host(lambda i, t: t, like=ONES)(None, t))(THETA), THETA
    )


def test_single_precision_is_not_announced():
    with pytest.raises(Float32Error):
        host(bisection, like=jnp.ones(3, jnp.float32))


def test_a_python_loop_that_is_compiled_is_sent_here():
    @custom_root(cubic)
    def solver(init, theta):
        while jnp.max(jnp.abs(cubic(init, theta))) > 1e-10:
            init = init - cubic(init, theta) / (3 * init**2 + 1)
        return init

    assert jnp.all(jnp.isfinite(solver(ONES, THETA)))
    with pytest.raises(jax.errors.TracerBoolConversionError) as caught:
        jax.jit(solver)(ONES, THETA)
    assert "mdsens.implicit.host" in caught.value.__notes__[0]


def test_no_derivative_of_its_own():
    for solver in SOLVERS.values():
        with pytest.raises(InputError, match="no derivative of its own"):
            jax.grad(lambda t, s=solver: jnp.sum(s(ONES, t)))(THETA)


def test_a_solver_that_closes_over_a_tracer_is_refused():
    def f(theta):
        return jnp.sum(host(lambda init: np.asarray(theta))(ONES))

    for transform in (jax.grad, jax.jit):
        with pytest.raises(InputError, match="closes over a value"):
            transform(f)(THETA)


BUSY = """
import jax, jax.numpy as jnp
jax.config.update("jax_enable_x64", True)
from mdsens.implicit import host

def iterate(value, init, matrix):
    for _ in range(3):
        init = value(init)
    return init

solve = host(iterate, evaluate=lambda x, m: jnp.tanh(m @ m @ x) / 200)
f = jax.jit(lambda m: sum(solve(jnp.ones(200), k * m @ m).sum() for k in (1.0, 2.0, 3.0)))
g = jax.jit(jax.vmap(f))
m = jnp.ones((200, 200))
print(sum(f(k * m) for k in range(20)), g(jnp.stack([m, m])))
"""


@pytest.mark.parametrize("cores", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_programs_that_wait_do_not_block_each_other(cores: int, repository):
    """Twenty programs under way at once, on as many threads as there are cores."""
    pin = f"import os; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{cores}])"
    pin = pin if sys.platform == "linux" else ""
    subprocess.run([sys.executable, "-c", pin + BUSY], cwd=repository, check=True, timeout=200)
