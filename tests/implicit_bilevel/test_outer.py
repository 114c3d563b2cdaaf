"""The outer loop: its end, its restart, its data and constraints, and what it says when it fails."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mdsens.errors import DerivativeUndefined, Float32Error, InputError, NotConverged
from mdsens.implicit import Analytic, BilevelState, Implicit, Iteration, WarmImplicit, bilevel
from tests.implicit_bilevel.problems import RIDGE, XV, YV

SYMMETRIC = WarmImplicit(symmetric=True)
CLOSED = RIDGE.closed


def run(optimizer=None, loss=RIDGE.loss, inner=RIDGE.inner, theta=RIDGE.theta, **options):
    options = {"steps": 20, "estimator": SYMMETRIC} | options
    return bilevel(loss, inner, optimizer or optax.adam(0.1), theta, RIDGE.x0, **options)


@pytest.fixture(scope="module")
def whole():
    """Twenty steps, the states after each of them, and everything that was told."""
    states, told, traced, traced_by_then = [], [], [], []

    def loss(w, logs):
        traced.append(None)
        return RIDGE.loss(w, logs)

    def keep(state, record):
        assert int(record.step) == int(state.step) - 1
        states.append(state)
        traced_by_then.append(len(traced))

    result = run(loss=loss, callback=keep, progress=lambda *line: told.append(line))
    assert len(traced) == traced_by_then[0], "one program does for every step"
    return result, states, told


def test_full_accuracy_at_both_ends(whole):
    result, _, _ = whole
    history = result.history
    assert history.step.tolist() == list(range(21)) and int(result.state.step) == 20
    np.testing.assert_array_equal(history.reduction[[0, 1, 19, 20]], [0.0, 0.01, 0.01, 0.0])
    value, gradient = CLOSED(result.theta)
    np.testing.assert_allclose(result.value, value, rtol=1e-9)
    np.testing.assert_allclose(result.gradient, gradient, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(result.x, RIDGE.solution(result.theta), rtol=1e-8)
    np.testing.assert_allclose(history.value[[0, 20]], [CLOSED(RIDGE.theta)[0], value], rtol=1e-9)
    assert history.inner_residual[20] <= 1e-10 and history.adjoint_residual[20] <= 1e-10
    assert not result.stationary


def test_the_course_is_that_of_cold_and_exact_gradients(whole):
    optimizer, theta = optax.adam(0.1), RIDGE.theta
    memory = optimizer.init(theta)

    @jax.jit
    def step(theta, memory):
        updates, memory = optimizer.update(CLOSED(theta)[1], memory, theta)
        return optax.apply_updates(theta, updates), memory

    for _ in range(20):
        theta, memory = step(theta, memory)
    np.testing.assert_allclose(whole[0].theta, theta, atol=2e-3)
    np.testing.assert_allclose(whole[0].value, CLOSED(theta)[0], rtol=1e-4)
    exact = run(reduction=0.0)
    np.testing.assert_allclose(exact.theta, theta, atol=1e-7)
    np.testing.assert_allclose(exact.value, CLOSED(theta)[0], rtol=1e-8)
    assert not exact.history.reduction.any()


def test_progress_and_callback(whole):
    _, states, told = whole
    assert [int(s.step) for s in states] == list(range(1, 21))
    assert [line[:3] for line in told] == [("bilevel", k, 20) for k in range(21)]
    assert "loss" in told[-1][3] and "gradient" in told[-1][3]


def test_continued_from_a_file_to_the_last_bit(whole, tmp_path):
    result, states, _ = whole
    np.savez(tmp_path / "state.npz", *jax.tree.leaves(states[8]))
    stored = np.load(tmp_path / "state.npz")
    empty = BilevelState.initial(optax.adam(0.1), RIDGE.theta, RIDGE.x0, SYMMETRIC)
    saved = jax.tree.unflatten(jax.tree.structure(empty), [stored[name] for name in stored.files])
    continued = run(state=saved)
    jax.tree.map(np.testing.assert_array_equal, continued.state, result.state)
    assert_same(continued, result, 9)


def test_continued_from_the_end_of_a_shorter_run(whole):
    shorter = run(steps=5)
    continued = run(state=shorter.state)
    assert_same(continued, whole[0], 5)


def assert_same(continued, result, first):
    for name in ("theta", "x", "value", "gradient"):
        np.testing.assert_array_equal(getattr(continued, name), getattr(result, name))
    for one, other in zip(continued.history, result.history, strict=True):
        np.testing.assert_array_equal(one, other[first:])


def test_ends_at_a_certified_stationary_point():
    result = run(steps=3000, gradient_tol=1e-5, reduction=0.1)
    assert result.stationary and int(result.state.step) < 3000
    assert np.linalg.norm(CLOSED(result.theta)[1]) <= 1.000001e-5
    # The loose evaluation that looked like the end, then the exact one at the same place.
    np.testing.assert_array_equal(result.history.reduction[-2:], [0.1, 0.0])
    assert result.history.step[-2] == result.history.step[-1] == int(result.state.step)


def test_constraints():
    box = partial(optax.projections.projection_box, lower=-0.2, upper=0.2)
    by_minres = WarmImplicit(symmetric=True, dense_limit=0)
    result = run(optax.sgd(2.0), steps=400, gradient_tol=1e-8, project=box, estimator=by_minres)
    assert result.stationary
    at_bound = np.abs(result.theta) == 0.2
    assert at_bound.any() and np.all(np.abs(result.theta) <= 0.2)
    # At a bound the gradient points outwards, elsewhere it vanishes.
    gradient = CLOSED(result.theta)[1]
    assert np.all((gradient * np.sign(result.theta) < 0)[at_bound])
    np.testing.assert_allclose(gradient[~at_bound], 0.0, atol=1e-7)


def test_batches():
    rows = [np.arange(3 * k, 3 * k + 3) for k in range(3)]

    def loss(w, logs, batch):
        return jnp.mean((XV[batch] @ w - YV[batch]) ** 2) + jnp.sum(logs**2 * YV[batch[0]])

    # The part of the gradient that goes through x costs most of the compilation, and is not wanted.
    by_step = run(loss=loss, steps=3, estimator=Analytic(), data=lambda k: rows[k])
    stream = iter(rows)
    by_iterator = run(loss=loss, steps=3, estimator=Analytic(), data=lambda _: next(stream))
    np.testing.assert_array_equal(by_step.theta, by_iterator.theta)
    first = loss(RIDGE.solution(RIDGE.theta), RIDGE.theta, rows[0])
    np.testing.assert_allclose(by_step.history.value[0], first, rtol=1e-8)
    # The last evaluation is of the last batch.
    last = loss(RIDGE.solution(by_step.theta), by_step.theta, rows[2])
    np.testing.assert_allclose(by_step.value, last, rtol=1e-8)


def test_another_estimator(whole):
    result = run(estimator=Implicit(), steps=20)
    np.testing.assert_allclose(result.value, whole[0].value, rtol=1e-4)
    np.testing.assert_allclose(result.gradient, CLOSED(result.theta)[1], rtol=1e-8, atol=1e-10)
    assert not result.history.adjoint_products.any()
    assert np.isnan(result.history.adjoint_residual).all()


def test_an_inner_iteration_that_does_not_converge():
    inner = replace(RIDGE.inner, max_steps=30)
    with pytest.raises(NotConverged, match=r"outer step 0: the inner .* after 30 steps") as caught:
        run(inner=inner, estimator=Analytic())
    assert caught.value.result is None


def test_a_loss_that_ceases_to_exist():
    def loss(w, logs):
        return RIDGE.loss(w, logs) + jnp.log(logs[0] + 0.2)

    with pytest.raises(NotConverged, match="outer step 2: the outer loss is nan") as caught:
        run(optax.sgd(0.2), loss=loss, theta=jnp.zeros(4) + 0.3, estimator=Analytic())
    # The last state that could be evaluated serves a second attempt with smaller steps.
    good = caught.value.result
    assert int(good.step) == 1
    rest = run(optax.sgd(1e-3), loss=loss, state=good, steps=5, estimator=Analytic())
    assert np.isfinite(rest.value)


def test_a_gradient_that_does_not_exist():
    def loss(w, logs):
        return RIDGE.loss(w, logs) + jnp.sqrt(logs[3])

    with pytest.raises(DerivativeUndefined, match="outer step 0: the gradient"):
        run(loss=loss, theta=jnp.zeros(4), estimator=Analytic())


def test_a_singular_adjoint():
    inner = Iteration(lambda x, t: x - 0.5 * (x[0] + x[1] - t[0]) * jnp.ones(2))
    with pytest.raises(DerivativeUndefined, match=r"outer step 0: .*adjoint, relative residual"):
        bilevel(
            lambda x, t: x[0] + t[0],
            inner,
            optax.sgd(0.1),
            jnp.ones(1),
            jnp.zeros(2),
            steps=1,
            estimator=WarmImplicit(dense_limit=0),
        )


def test_states_and_arguments_that_do_not_fit(whole):
    with pytest.raises(InputError, match="continue with the arguments the state was saved under"):
        run(optax.sgd(0.1), state=whole[1][0])
    with pytest.raises(InputError, match=r"reduction = 1\.5"):
        run(reduction=1.5)
    with pytest.raises(Float32Error):
        run(theta=np.ones(4, np.float32))
