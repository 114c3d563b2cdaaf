"""Fits of straight lines, where everything has a closed form; and of curves, where it has not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mdsens.errors import InputError, NotConverged
from mdsens.fitting import Free, fit, profile, sampled
from tests.fitting.lines import Curve, Sticky, line

RNG = np.random.default_rng(1)
MATRIX = RNG.normal(size=(40, 3))
TRUE = np.array([2.0, -1.0, 0.5])
SIGMA = RNG.uniform(0.5, 2.0, 40)
PARAMS = {"a": np.array(1.0), "b": np.array(1.0), "c": np.array(0.0)}
FREE = {"a": Free(), "b": Free(), "c": Free()}
OPTIMIZERS = ("levenberg_marquardt", "lbfgs")


def noisy(seed: int) -> Curve:
    noise = SIGMA * np.random.default_rng(seed).standard_normal(40)
    return line(MATRIX, MATRIX @ TRUE + noise, SIGMA)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_best_fit_and_covariance_of_a_line(optimizer):
    target = noisy(0)
    found = fit(None, PARAMS, [target], FREE, optimizer=optimizer)
    weighted = MATRIX / SIGMA[:, None]
    best, chi2, *_ = np.linalg.lstsq(weighted, target.wanted / SIGMA)
    theta = np.asarray(found.space.theta(found.best.u))
    np.testing.assert_allclose(theta, best, atol=1e-6)
    np.testing.assert_allclose(found.best.chi2, chi2[0], rtol=1e-8)
    covariance = np.linalg.inv(weighted.T @ weighted) * max(1.0, chi2[0] / 37)
    np.testing.assert_allclose(found.posterior.sigma, np.sqrt(np.diag(covariance)), rtol=1e-6)
    deviation = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(
        found.posterior.correlation, covariance / np.outer(deviation, deviation), rtol=1e-6
    )
    values, bars = found.predict(target)
    np.testing.assert_allclose(values, MATRIX @ best, atol=1e-6)
    np.testing.assert_allclose(
        bars, np.sqrt(np.einsum("ij,jk,ik->i", MATRIX, covariance, MATRIX)), rtol=1e-6
    )


def test_the_first_step_is_small():
    """However far the best fit is: structures relax for parameters near those at the start."""
    seen = []
    found = fit(None, PARAMS, [noisy(0)], FREE, record=lambda _, at: seen.append(at.u))
    assert np.linalg.norm(found.best.u) > 2.0
    np.testing.assert_allclose(np.linalg.norm(seen[1]), 0.3, rtol=1e-6)


def test_a_parameter_that_starts_at_its_bound_does_not_hold_the_others():
    """b, which ended there in a fit before, would go on if it could."""
    valley = Curve(
        "valley", lambda t: np.array([10 * (t[2] - t[0] ** 2 - t[1]), t[0] - 2.0, t[1] - 3.0]),
        lambda t: np.array([[-20 * t[0], -10, 10], [1, 0, 0], [0, 1, 0]]), np.zeros(3), np.ones(3),
    )  # fmt: skip
    start = {**PARAMS, "c": np.array(1.0)}
    free = {**FREE, "b": Free(upper=1.0 + 1e-12)}
    found = fit(None, start, [valley], free, tolerance=1e-4)
    np.testing.assert_allclose(found.space.theta(found.best.u), [2.0, 1.0, 5.0], atol=0.02)


def test_bars_cover_as_they_should():
    """68 % of 200 fits to noisy data have the true value within one bar, each parameter."""
    inside = []
    for seed in range(200):
        found = fit(None, PARAMS, [noisy(seed)], FREE)
        off = np.abs(np.asarray(found.space.theta(found.best.u)) - TRUE)
        inside.append(off < found.posterior.sigma)
    share = np.mean(inside, axis=0)
    # Inflation never shrinks a bar: a little more than 68.3 %; 200 fits know it to 3.3 %.
    assert np.all((share > 0.60) & (share < 0.82)), share


@pytest.mark.parametrize(
    "loss, outliers", [("huber", 0), ("soft_l1", 4), ("cauchy", 4), ("cauchy", 8)]
)
def test_bars_of_robust_losses_cover_with_outliers(loss, outliers):
    """Numbers that are off by anything widen the bars by what is lost with them, not by how far they are."""
    inside, bars = [], []
    for seed in range(100):
        target, rng = noisy(seed), np.random.default_rng(seed)
        wanted = target.wanted.copy()
        wanted[rng.permutation(40)[:outliers]] += 100.0 * rng.standard_normal(outliers)
        found = fit(None, PARAMS, [line(MATRIX, wanted, SIGMA)], FREE, loss=loss)
        off = np.abs(np.asarray(found.space.theta(found.best.u)) - TRUE)
        inside.append(off < found.posterior.sigma)
        bars.append(found.posterior.sigma)
    assert 0.6 < np.mean(inside) < 0.82, np.mean(inside)
    plain = fit(None, PARAMS, [noisy(0)], FREE).posterior.sigma
    assert np.all(np.median(bars, axis=0) < 1.6 * plain)


def test_draws_agree_with_bars():
    found = fit(None, PARAMS, [noisy(0)], FREE)
    other = line(2.0 * np.eye(3), np.zeros(3), np.ones(3))
    values = sampled(None, found.posterior, other, 400)
    _, bars = found.predict(other)
    np.testing.assert_allclose(values.std(axis=0), bars, rtol=0.15)


def test_profile_of_a_line_is_a_parabola():
    found = fit(None, PARAMS, [noisy(0)], FREE)
    best, sigma = found.space.theta(found.best.u)[1], found.posterior.sigma[1]
    steps = np.array([-2.0, 0.0, 1.0])
    chi2 = profile(found, "b", best + steps * sigma)
    growth = (chi2 - found.best.chi2) / found.posterior.inflation
    np.testing.assert_allclose(growth, steps**2, atol=1e-6)
    with pytest.raises(InputError, match="not one of several"):
        profile(found, "z", [1.0])


def test_prior_counts_like_a_measurement():
    free = {**FREE, "a": Free(prior=(5.0, 0.01))}
    found = fit(None, PARAMS, [noisy(0)], free)
    np.testing.assert_allclose(found.space.theta(found.best.u)[0], 5.0, atol=0.02)
    assert found.posterior.sigma[0] < 0.05


def test_robust_loss_forgives_outliers():
    wanted = MATRIX @ TRUE
    wanted[:4] += 100.0
    target = line(MATRIX, wanted, 0.1 * SIGMA)
    errors = {}
    for loss in ("linear", "soft_l1", "huber", "cauchy"):
        found = fit(None, PARAMS, [target], FREE, loss=loss)
        other = fit(None, PARAMS, [target], FREE, loss=loss, optimizer="lbfgs", max_iterations=500)
        np.testing.assert_allclose(found.best.u, other.best.u, atol=2e-3)
        errors[loss] = np.abs(np.asarray(found.space.theta(found.best.u)) - TRUE).max()
    assert errors["cauchy"] < errors["huber"] < 0.1 * errors["linear"]


def test_adam_goes_down_within_bounds():
    free = {**FREE, "a": Free(upper=1.5)}
    found = fit(
        None, PARAMS, [noisy(0)], free, optimizer="adam", learning_rate=0.05, max_iterations=400
    )
    assert found.space.theta(found.best.u)[0] == pytest.approx(1.5)
    bounded = fit(None, PARAMS, [noisy(0)], free)
    np.testing.assert_allclose(found.best.chi2, bounded.best.chi2, rtol=1e-3)
    assert found.on_bounds == bounded.on_bounds == ("a",)
    assert fit(None, PARAMS, [noisy(0)], {**FREE, "a": Free(upper=9.0)}).on_bounds == ()


def test_degenerate_combinations_are_named():
    same = line(MATRIX @ np.diag([1.0, 1.0, 0.0]), MATRIX @ TRUE, SIGMA)
    with pytest.raises(InputError, match="no target depends on c"):
        fit(None, PARAMS, [same], FREE)
    both = line(MATRIX @ np.array([[1, 0, 0], [2, 0, 0], [0, 0, 1]]).T, MATRIX @ TRUE, SIGMA)
    with pytest.raises(InputError, match=r"a \(\+1\), b \(-0.5\)|a \(-1\), b \(\+0.5\)"):
        fit(None, PARAMS, [both], FREE)
    with pytest.raises(InputError, match="3 free parameters, but only 2 numbers"):
        fit(None, PARAMS, [line(MATRIX[:2], np.ones(2), np.ones(2))], FREE)
    deaf = replace(line(np.zeros((3, 3)), np.ones(3), np.ones(3)), name="deaf")
    with pytest.raises(InputError, match="deaf does not depend on any free parameter"):
        fit(None, PARAMS, [noisy(0), deaf], FREE)


def step(theta: np.ndarray) -> float:
    return max(theta[0] - 1.1, 0.0)


SWITCHED = Curve(
    "switched",
    lambda t: np.array([t[0], t[0] + t[2], t[1] * step(t)]),
    lambda t: np.array([[1, 0, 0], [1, 0, 1], [t[1] * (t[0] > 1.1), step(t), 0]], float),
    np.array([2.0, 2.5, 1.8]), np.ones(3),
)  # fmt: skip


def test_a_parameter_that_does_nothing_at_the_start_is_fitted():
    found = fit(None, PARAMS, [SWITCHED], FREE)
    assert not found.first.jacobian[:, 1].any()
    np.testing.assert_allclose(found.space.theta(found.best.u), [2.0, 2.0, 0.5], atol=1e-8)
    with pytest.raises(InputError, match="no target depends on b"):
        fit(None, PARAMS, [SWITCHED], FREE, spread=0.05)


def test_what_the_end_of_a_fit_does_not_tell_has_no_bars():
    """b counts where the fit starts; the targets lead to where it does nothing, and a is as known as
    without it."""
    away = replace(SWITCHED, goal=np.array([0.5, 1.3, 0.0]))
    found = fit(None, {**PARAMS, "a": np.array(1.2)}, [away], FREE)
    known = found.posterior
    assert found.space.theta(found.best.u)[0] < 1.1 and known.untold == ("b",)
    np.testing.assert_allclose(known.sigma, [1.0, np.inf, np.sqrt(2.0)], rtol=1e-9)
    np.testing.assert_allclose(known.correlation[0, 2], -np.sqrt(0.5), rtol=1e-9)
    assert np.isnan(known.correlation[1]).all() and known.freedom == 1
    told, bars = (
        line(np.diag([1.0, 1e-3, 1.0]), np.zeros(3), np.ones(3)),
        [1.0, np.inf, np.sqrt(2.0)],
    )
    np.testing.assert_allclose(found.predict(told)[1], bars, rtol=1e-9)
    with pytest.raises(InputError, match="do not tell b where the fit ended"):
        known.draws(3)


def test_products_that_alone_count_are_named_whatever_points_are_asked():
    """The direction that moves nothing turns from point to point."""
    product = Curve(
        "product", lambda t: np.array([t[0] * t[1], t[2], t[0] * t[1] * (1 + t[2])]),
        lambda t: np.array(
            [[t[1], t[0], 0], [0, 0, 1], [t[1] * (1 + t[2]), t[0] * (1 + t[2]), t[0] * t[1]]]
        ),
        np.ones(3), np.ones(3),
    )  # fmt: skip
    with pytest.raises(InputError, match=r"a \(\+1\), b \(-1\)|a \(-1\), b \(\+1\)"):
        fit(None, PARAMS, [product], FREE)


def test_a_target_that_breaks_in_mid_fit_is_reported_and_avoided():
    """The best fit lies where the target cannot be evaluated: the fit stops short of it."""
    target = line(MATRIX, MATRIX @ TRUE, SIGMA, breaks=lambda theta: theta[0] > 1.8)
    found = fit(None, PARAMS, [target], FREE)
    theta = np.asarray(found.space.theta(found.best.u))
    assert 1.0 < theta[0] <= 1.8
    assert not found.best.failures
    assert "the edge of where line can be evaluated: line does not relax" in found.why
    assert found.best.chi2 < 0.5 * found.first.chi2
    with pytest.raises(NotConverged, match="line, at the start"):
        fit(None, {**PARAMS, "a": np.array(3.0)}, [target], FREE)


def test_a_target_that_jumps_is_reported():
    """The best fit lies behind a step of the values: the fit stops before it."""
    jumping = Curve(
        "jumping", lambda t: t + 30.0 * (t[0] > 1.5), lambda t: np.eye(3),
        np.array([1.8, -1.0, 0.5]), np.ones(3),
    )  # fmt: skip
    found = fit(None, PARAMS, [noisy(0), jumping], FREE)
    assert found.space.theta(found.best.u)[0] <= 1.5
    assert "stopped where jumping jumps" in found.why
    assert not fit(None, PARAMS, [noisy(0)], FREE).why


def test_a_step_that_is_refused_leaves_nothing_behind():
    """A trial beyond a = 3 takes the target to another state, which it would not leave by itself."""
    found = fit(None, {"a": np.array(1.0)}, [Sticky()], {"a": Free()})
    np.testing.assert_allclose(found.space.theta(found.best.u), 2.9, atol=1e-6)
    assert not found.why


def test_starts_that_break_are_left_out():
    target = line(MATRIX, MATRIX @ TRUE, SIGMA, breaks=lambda theta: theta[0] > 1.2)
    found = fit(None, PARAMS, [target], FREE, starts=8, spread=0.5)
    assert found.runs[0] is not None
    assert 0 < sum(run is None for run in found.runs) < 7
    # That they break at the one given is no matter then.
    other = fit(None, {**PARAMS, "a": np.array(1.3)}, [target], FREE, starts=8, spread=0.5)
    assert other.runs[0] is None
    start = next(run.start for run in other.runs if run is not None)
    np.testing.assert_array_equal(other.first.u, start)


def test_several_starts_find_the_lower_of_two_minima():
    target = Curve(
        "well", lambda t: (t**2 - 4.0 + 0.3 * t) * np.ones(2), lambda t: np.tile(2.0 * t + 0.3, (2, 1)),
        np.array([0.0, 0.5]), np.ones(2),
    )  # fmt: skip
    lone = fit(None, {"a": np.array(-1.0)}, [target], {"a": Free()})
    many = fit(None, {"a": np.array(-1.0)}, [target], {"a": Free()}, starts=10, spread=3.0, seed=1)
    assert many.best.chi2 <= lone.best.chi2
    assert len(many.runs) == 10


def test_held_out_data_stop_a_descent():
    held = line(MATRIX, MATRIX @ np.array([1.5, 0.0, 0.2]), SIGMA)
    found = fit(
        None, PARAMS, [noisy(0)], FREE, validation=[held], patience=3, optimizer="adam",
        learning_rate=0.05, max_iterations=500,
    )  # fmt: skip
    twice = fit(
        None, PARAMS, [noisy(0)], FREE, validation=[held, held], optimizer="adam", max_iterations=2
    )
    run = found.runs[0]
    np.testing.assert_allclose(twice.runs[0].steps[0].validation, 2.0 * run.steps[0].validation)
    scores = [s.validation for s in run.steps]
    assert len(scores) == int(np.argmin(scores)) + 4
    assert found.best is run.best and run.best.chi2 == run.steps[int(np.argmin(scores))].chi2


@pytest.mark.parametrize("optimizer", ["levenberg_marquardt", "lbfgs", "adam"])
def test_a_fit_goes_on_bit_by_bit(optimizer):
    powers = np.arange(1, 4)
    curve = Curve(
        "exp", lambda t: np.exp(t * powers), lambda t: np.diag(powers * np.exp(t * powers)),
        np.array([3.0, 0.2, 2.0]), np.ones(3),
    )  # fmt: skip
    kept = []
    options = {"optimizer": optimizer, "max_iterations": 30}
    whole = fit(
        None, PARAMS, [curve, noisy(3)], FREE, record=lambda n, e: kept.append(e), **options
    )
    for count in (1, len(kept) // 2, len(kept) - 1):
        again = []
        resumed = fit(
            None, PARAMS, [curve, noisy(3)], FREE, history={0: kept[:count]},
            record=lambda n, e, again=again: again.append(e), **options,
        )  # fmt: skip
        assert len(again) == len(kept) - count
        assert resumed.best.u.tobytes() == whole.best.u.tobytes()
    with pytest.raises(InputError, match="does not belong to this fit"):
        fit(None, PARAMS, [noisy(3)], {"a": Free()}, history={0: kept}, **options)


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"optimizer": "bfgs"}, "unknown"),
        ({"loss": "l1"}, "unknown"),
        ({"starts": 0}, "at least one"),
    ],
)
def test_bad_options(options, sentence):
    with pytest.raises(InputError, match=sentence):
        fit(None, PARAMS, [noisy(0)], FREE, **options)
    with pytest.raises(InputError, match="two targets are called line"):
        fit(None, PARAMS, [noisy(0), noisy(1)], FREE)
    with pytest.raises(InputError, match="no targets"):
        fit(None, PARAMS, [], FREE)
