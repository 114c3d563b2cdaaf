"""Pytrees, integers, keywords, auxiliary data: what goes in and out besides float arrays."""

from collections import namedtuple
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from mdsens.errors import Float32Error, InputError
from mdsens.implicit import attach, custom_fixed_point, custom_root, root_jvp, root_vjp

THETA = jnp.array([1.0, 4.0, 9.0])


def power(x, theta, exponent=2):
    return x**exponent - theta


def test_unknowns_and_parameters_may_be_pytrees():
    def condition(x, theta):
        first = x["a"] * theta["scale"] - theta["shift"][0]
        return {"a": first, "b": (x["b"][0] - x["a"] * theta["shift"][1], None)}

    @custom_root(condition)
    def solver(init, theta):
        a = theta["shift"][0] / theta["scale"]
        return {"a": a, "b": (a * theta["shift"][1], None)}

    def f(theta, of=solver):
        x = of(None, theta)
        return jnp.sum(jnp.sin(x["a"])) + jnp.sum(x["b"][0] ** 2)

    theta = {"scale": jnp.array([1.0, 2.0]), "shift": [jnp.array([0.3, 0.7]), 1.5]}
    found, expected = jax.grad(f)(theta), jax.grad(partial(f, of=solver.__wrapped__))(theta)
    jax.tree_util.tree_map(partial(np.testing.assert_allclose, rtol=1e-10), found, expected)


def test_the_initial_guess_has_no_derivative():
    @custom_root(power)
    def solver(init, theta):
        return jnp.sqrt(theta) + 0 * init

    assert np.all(jax.grad(lambda i: solver(i, THETA).sum())(jnp.ones(3)) == 0.0)


def test_a_solver_may_be_host_code():
    """Outside jit the solver sees concrete numbers, however many derivatives are taken."""

    @custom_root(power)
    def solver(init, theta):
        return scipy.optimize.root(lambda x: x**2 - np.asarray(theta), np.asarray(init)).x

    def f(theta):
        return jnp.sum(jnp.sin(solver(jnp.ones(3), theta)))

    expected = jax.hessian(lambda t: jnp.sum(jnp.sin(jnp.sqrt(t))))(THETA)
    np.testing.assert_allclose(jax.hessian(f)(THETA), expected, rtol=1e-6, atol=1e-8)


def test_integers_booleans_and_others_pass_through():
    def condition(x, theta, exponent, switch, mode, key):
        assert mode == "even"
        scale = 1 + 0 * jax.random.uniform(key)
        return jnp.where(switch, x**exponent - theta, x - theta) * scale

    @custom_root(condition)
    def solver(init, theta, exponent, switch, mode, key):
        del init, mode, key
        return jnp.where(switch, theta ** (1 / exponent), theta)

    switch = jnp.array([True, False, True])

    def f(theta, exponent):
        return solver(None, theta, exponent, switch, "even", jax.random.key(0)).sum()

    for exponent in (2, jnp.array([2, 2, 2])):
        found = jax.grad(f)(THETA, exponent)
        np.testing.assert_allclose(found, [0.5, 1.0, 1 / 6], rtol=1e-12)
    batched = jax.jit(jax.vmap(jax.grad(f), (None, 0)))(THETA, jnp.array([1, 2]))
    np.testing.assert_allclose(batched, [[1, 1, 1], [0.5, 1.0, 1 / 6]], rtol=1e-12)


def test_python_integers_may_steer_python_code():
    def condition(x, theta, terms):
        for _ in range(terms):
            x = x - theta / terms
        return x

    @custom_root(condition)
    def solver(init, theta, terms):
        return theta

    np.testing.assert_allclose(jax.grad(lambda t: solver(None, t, 3))(2.0), 1.0, rtol=1e-12)


def test_keywords_and_defaults():
    @custom_root(power)
    def solver(init, theta, exponent=2):
        return theta ** (1 / exponent)

    def f(theta, **kwargs):
        return jnp.sum(solver(init=None, theta=theta, **kwargs))

    np.testing.assert_allclose(jax.grad(f)(THETA), 0.5 * THETA**-0.5, rtol=1e-12)
    cubic = jax.grad(partial(f, exponent=3))(THETA)
    np.testing.assert_allclose(cubic, THETA ** (-2 / 3) / 3, rtol=1e-12)


def test_the_defaults_are_those_of_the_solver():
    solver = custom_root(power)(lambda init, theta, exponent=3: theta ** (1 / exponent))
    found = jax.grad(lambda t: jnp.sum(solver(None, t)))(THETA)
    np.testing.assert_allclose(found, THETA ** (-2 / 3) / 3, rtol=1e-12)


def test_keywords_of_a_catch_all_solver():
    @custom_root(power)
    def solver(init, **kwargs):
        return kwargs["theta"] ** (1 / kwargs["exponent"])

    found = jax.grad(lambda t: solver(None, exponent=2, theta=t).sum())(THETA)
    np.testing.assert_allclose(found, 0.5 * THETA**-0.5, rtol=1e-12)


def test_reference_signature():
    @custom_root(lambda x, *args: power(x, *args), reference_signature=power)
    def solver(init, **kwargs):
        return kwargs["theta"] ** (1 / kwargs["exponent"])

    found = jax.grad(lambda t: solver(None, exponent=2, theta=t).sum())(THETA)
    np.testing.assert_allclose(found, 0.5 * THETA**-0.5, rtol=1e-12)


@pytest.mark.parametrize(
    ("condition", "keywords", "message"),
    [
        (lambda x, theta, **kwargs: x**2 - theta, {"tolerance": 1.0}, "keyword"),
        (lambda x, theta: x**2 - theta, {"tolerance": 1.0}, "do not fit"),
    ],
)
@pytest.mark.parametrize("error", [TypeError, InputError])
def test_arguments_that_do_not_fit(condition, keywords, message, error):
    @custom_root(condition)
    def solver(init, theta, **kwargs):
        return jnp.sqrt(theta)

    with pytest.raises(error, match=message):
        solver(None, THETA, **keywords)


Step = namedtuple("Step", "params state")


def test_auxiliary_data_of_any_kind():
    @custom_root(power, has_aux=True)
    def solver(init, theta):
        aux = {
            "steps": jnp.array(7),
            "flags": jnp.array([True, False]),
            "neighbors": np.arange(6, dtype=np.int32).reshape(2, 3),
            "loss": jnp.sum(theta**2),
            "note": "done",
            "nothing": None,
        }
        return Step(jnp.sqrt(theta), aux)

    result = solver(None, THETA)
    assert isinstance(result, Step) and result.state["note"] == "done"
    assert result.state["neighbors"].dtype == np.int32

    def f(theta):
        x, aux = solver(None, theta)
        return jnp.sum(x) + aux["loss"] + aux["steps"]

    # Auxiliary data have no derivative, whatever they were computed from.
    np.testing.assert_allclose(jax.grad(f)(THETA), 0.5 * THETA**-0.5, rtol=1e-12)
    np.testing.assert_allclose(jax.jvp(f, (THETA,), (THETA,))[1], jnp.sum(0.5 * THETA**0.5))
    batched = jax.vmap(jax.grad(f))(THETA[None])
    np.testing.assert_allclose(batched[0], 0.5 * THETA**-0.5, rtol=1e-12)


def test_auxiliary_data_must_come_in_a_tuple():
    with pytest.raises(InputError, match="tuple"):
        custom_root(power, has_aux=True)(lambda init, theta: jnp.sqrt(theta))(None, THETA)


def test_fixed_point_with_auxiliary_data_and_keywords():
    @custom_fixed_point(lambda x, rate, target: x + rate * (target - x), has_aux=True)
    def solver(init, rate, target):
        return target, 3

    value, steps = solver(None, 0.5, target=THETA)
    assert steps == 3 and np.array_equal(value, THETA)
    found = jax.grad(lambda t: jnp.sum(solver(None, 0.5, target=t)[0] ** 2))(THETA)
    np.testing.assert_allclose(found, 2 * THETA, rtol=1e-12)


REFUSED = {
    "another shape": (lambda x, t: (x - t)[:2], jnp.ones(3), "shape"),
    "another structure": (lambda x, t: (x - t, 0.0), jnp.ones(3), "structure"),
    "another type": (lambda x, t: (x - t).astype(jnp.float32), jnp.ones(3), "float32"),
    "integer unknowns": (lambda x, t: x - t, jnp.ones(3, int), "int64"),
    "no unknowns": (lambda x, t: x, (), "no array"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_does_not_look_like_a_root_is_refused(kind: str):
    condition, sol, message = REFUSED[kind]
    with pytest.raises(InputError, match=message):
        attach(condition, sol, (THETA,))


def test_a_function_without_a_signature_is_refused():
    for make in (lambda: custom_root(power)(3.0), lambda: custom_root(min), lambda: custom_root(2)):
        with pytest.raises(InputError, match="a function with a signature is needed"):
            make()


def test_a_solver_called_wrongly():
    solver = custom_root(power)(lambda init, theta: jnp.sqrt(theta))
    with pytest.raises(InputError, match=r"the solver\(init, theta\) was called wrongly"):
        solver(jnp.ones(3))


def test_a_solve_that_is_no_function():
    with pytest.raises(InputError, match="solve must be a function"):
        custom_root(power, solve="cg")


@pytest.mark.parametrize("answer", [lambda b: (b, 1), lambda b: b[:2]], ids=["info too", "short"])
def test_a_solve_that_returns_something_else(answer):
    with pytest.raises(InputError, match="the solve returned"):
        root_vjp(power, jnp.sqrt(THETA), (THETA,), THETA, solve=lambda matvec, b: answer(b))


def test_no_unknowns_have_no_derivative():
    nothing = jnp.zeros((0,))
    solved = custom_root(power)(lambda init, theta: jnp.sqrt(theta))
    for derivative in (jax.jacfwd, jax.jacrev):
        assert derivative(lambda t: solved(None, t))(nothing).shape == (0, 0)
    assert root_vjp(power, nothing, (nothing,), nothing)[0].shape == (0,)


@pytest.mark.parametrize("given", [THETA, 3.0])
def test_arguments_come_in_a_tuple(given):
    for take in (attach, root_jvp, root_vjp):
        more = () if take is attach else (given,)
        with pytest.raises(InputError, match="must be a tuple"):
            take(power, jnp.sqrt(THETA), given, *more)


def test_what_an_optimality_function_raises_is_explained():
    forgotten = custom_root(power)(lambda init, theta: (jnp.sqrt(theta), "aux"))
    with pytest.raises(InputError, match="str"):
        forgotten(None, THETA)
    forgotten = custom_root(power)(lambda init, theta: (jnp.sqrt(theta), 1.0))
    branching = custom_root(lambda x, theta: x - theta if x.sum() > 0 else x)(lambda i, t: t)
    for solver in (forgotten, branching):
        with pytest.raises(Exception) as caught:
            solver(None, THETA)
        assert "raised by the optimality function" in caught.value.__notes__[0]


def test_fixed_point_of_another_shape_is_refused():
    with pytest.raises(InputError, match="shape"):
        custom_fixed_point(lambda x, t: (x + t)[:2])(lambda init, t: t)(None, THETA)


def test_integer_parameters_have_no_derivative():
    solver = custom_root(power)(lambda init, theta, exponent: theta ** (1 / exponent))
    with pytest.raises(TypeError):
        jax.grad(lambda e: solver(None, THETA, e).sum())(2)


@pytest.mark.parametrize(("one", "other"), [("float32", "float64"), ("float64", "float32")])
def test_single_precision_is_refused(one: str, other: str):
    with pytest.raises(Float32Error, match="jax_enable_x64"):
        attach(power, jnp.ones(3, one), (jnp.ones(3, other),))


@pytest.fixture
def single_precision():
    jax.config.update("jax_enable_x64", False)
    yield
    jax.config.update("jax_enable_x64", True)


@pytest.mark.usefixtures("single_precision")
def test_switched_off_double_precision_is_refused():
    with pytest.raises(Float32Error, match="switched off"):
        attach(power, np.ones(3), (np.ones(3),))
