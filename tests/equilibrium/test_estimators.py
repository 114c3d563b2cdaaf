"""`relax(..., estimator=...)`: what each estimator promises, against slow routes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdsens as ms
from mdsens.equilibrium import search
from mdsens.equilibrium.scaled import scales
from mdsens.equilibrium.unrolled import Course, minimization
from mdsens.errors import InputError, NotConverged
from mdsens.implicit import Analytic, Automatic, Implicit, Neumann, OneStep
from mdsens.linear import CG
from mdsens.neighbors import AllPairs
from scripts.bench.super_efficiency import packing as study_of
from tests.derivatives.routes import close, off_centre
from tests.examples import EXAMPLES, make
from tests.implicit_estimators.orders import check_orders

POTENTIAL = ms.potentials.SoftSphere()
DIRECTION = jnp.asarray(np.random.default_rng(4).normal(size=24))


@cache
def packing():
    """A crystal of 24 unequal discs, not yet at rest: (where it comes to rest, start, diameters)."""
    row, column = np.divmod(np.arange(24), 6)
    cell = np.diag([6 * 0.97, 4 * 0.97 * np.sqrt(0.75)])
    sites = np.column_stack([column + 0.5 * (row % 2), row * np.sqrt(0.75)]) * 0.97
    diameter = 1.0 + 0.02 * np.random.default_rng(7).normal(size=24)
    system = make(sites, cell, (True, True))
    params = POTENTIAL.parameters(system, diameter=diameter)
    return search(POTENTIAL, params, system), system, params["diameter"]


def relaxed(diameter, system, estimator, **options):
    params = POTENTIAL.parameters(system, diameter=1.0)
    params = {**params, "diameter": diameter}
    return params, ms.relax(POTENTIAL, params, system, estimator=estimator, **options)


def positions(diameter, system, estimator, **options):
    return relaxed(diameter, system, estimator, **options)[1].positions


def measure(diameter, system, estimator, **options):
    """A scalar of the relaxed state that no rigid motion leaves alone."""
    params, minimum = relaxed(diameter, system, estimator, **options)
    probe = jnp.sum(off_centre(POTENTIAL, params, minimum))
    return probe + ms.pressure(POTENTIAL, params, minimum)


@cache
def implicit():
    _, system, diameter = packing()
    return jax.grad(measure)(diameter, system, Implicit())


@cache
def dense_step():
    """(M, c) with T(z) = M z + c . (diameters' change) at rest, in dense matrices."""
    found, _, diameter = packing()
    s, n = found.setting, 48

    def energy(x, diameter):
        params = {**s.params, "diameter": diameter}
        return POTENTIAL.energy(params, x.reshape(24, 2), s.cell, s.neighbors)

    x = jnp.ravel(s.positions)
    hessian = np.asarray(jax.jit(jax.hessian(energy))(x, diameter))
    mixed = np.asarray(jax.jit(jax.jacfwd(jax.grad(energy), argnums=1))(x, diameter))
    shift = np.kron(np.ones((24, 24)) / 24, np.eye(2))
    k = float(scales(found.problem, s)[0])
    assert k == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=0.05)
    project = np.eye(n) - shift
    return project @ (np.eye(n) - hessian / k), -project @ mixed / k


def test_a_series_of_steps_at_rest():
    _, system, diameter = packing()
    step, source = dense_step()
    expected = sum(np.linalg.matrix_power(step, i) @ source for i in range(7))
    weight = jnp.cos(jnp.arange(48.0))
    found = jax.grad(lambda d: weight @ jnp.ravel(positions(d, system, Neumann(7))))(diameter)
    close(found, np.asarray(weight) @ expected, 1e-9)


@pytest.mark.slow
def test_one_step_at_rest():
    _, system, diameter = packing()
    run = lambda d: jnp.ravel(positions(d, system, OneStep()))  # noqa: E731
    value, forward = jax.jvp(run, (diameter,), (DIRECTION,))
    assert np.array_equal(value, run(diameter))
    close(forward, dense_step()[1] @ np.asarray(DIRECTION), 1e-9)


@pytest.mark.slow
def test_many_terms_are_implicit():
    _, system, diameter = packing()
    close(jax.grad(measure)(diameter, system, Neumann(5000)), implicit(), 1e-10)


def test_analytic_is_right_for_the_energy_alone():
    _, system, diameter = packing()

    def three(diameter):
        params, minimum = relaxed(diameter, system, Analytic())
        probe = jnp.sum(off_centre(POTENTIAL, params, minimum))
        return jnp.stack(
            [f(POTENTIAL, params, minimum) for f in (ms.energy, ms.pressure)] + [probe]
        )

    energy, pressure, probe = jax.jacrev(three)(diameter) @ DIRECTION
    h = 1e-6
    ends = [three(diameter + s * h * DIRECTION) for s in (1, -1)]
    differences = np.asarray(ends[0] - ends[1]) / (2 * h)
    assert float(energy) == pytest.approx(differences[0], rel=1e-7)
    assert abs(float(pressure) / differences[1] - 1.0) > 0.001
    assert probe == 0.0 and differences[2] != 0.0


def test_an_unrolled_descent_against_differences_of_relaxed_states():
    _, system, diameter = packing()
    unrolled = {"estimator": Automatic(steps=400), "minimizer": "gradient_descent"}
    found = jax.grad(measure)(diameter, system, **unrolled)
    h = 1e-6
    ends = [measure(diameter + s * h * DIRECTION, system, Implicit()) for s in (1, -1)]
    difference = float(ends[0] - ends[1]) / (2 * h)
    assert float(found @ DIRECTION) == pytest.approx(difference, rel=1e-6)


def test_orders_of_error():
    """Automatic: from a start so near, the logarithm that it is short of two does not show."""
    check_orders(study_of(packing()[0]), 110, automatic=(1.8, 2.05))


@cache
def course():
    """A function of the diameters: how to walk from the shaken packing, with steps of one size."""
    found, system, _ = packing()
    source = AllPairs(system.pbc, 1)
    here = replace(found.setting, positions=system.positions, neighbors=source.build(system))
    k = scales(found.problem, here)[0]

    def with_diameters(diameter):
        live = replace(here, params={**here.params, "diameter": diameter})
        return Course(live, k, source, system.species)

    return found.problem, with_diameters


def check_steps(estimator, name, steps):
    """Far from rest the derivative is still the one of what was computed."""
    _, _, diameter = packing()
    problem, given = course()
    iteration = minimization(problem, name, 1e-10, 1000)
    z = jnp.zeros(48)
    run = lambda d: estimator(iteration, z, given(d))  # noqa: E731
    h = 1e-6
    ends = [iteration.state_after(steps, z, given(diameter + s * h * DIRECTION)).z for s in (1, -1)]
    close(jax.jvp(run, (diameter,), (DIRECTION,))[1], (ends[0] - ends[1]) / (2 * h), 1e-7)
    return run


@pytest.mark.slow
def test_unrolled_fire_step_by_step():
    check_steps(Automatic("forward", steps=12), "fire", 12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fire", "gradient_descent"])
def test_unrolled_steps_in_both_modes(name):
    _, _, diameter = packing()
    run = check_steps(Automatic(steps=40), name, 40)
    forward = jax.jvp(run, (diameter,), (DIRECTION,))[1]
    weight = jnp.cos(jnp.arange(48.0))
    reverse = jax.grad(lambda d: weight @ run(d))(diameter)
    assert float(reverse @ DIRECTION) == pytest.approx(float(weight @ forward), rel=1e-11)


SHORT = {"minimizer": "gradient_descent", "max_steps": 30}


@pytest.mark.slow
def test_too_few_steps():
    _, system, diameter = packing()
    with pytest.raises(NotConverged, match=r"not converged, fmax .* after 30 steps") as caught:
        relaxed(diameter, system, Automatic(), **SHORT)
    # A number of steps that was asked for is enough by definition.
    minimum = relaxed(diameter, system, Automatic(steps=30), **SHORT)[1]
    np.testing.assert_allclose(minimum.positions, caught.value.result.positions, rtol=1e-13)
    assert int(minimum.report.steps) == 30 and float(minimum.report.residual) > 1e-10


@pytest.mark.slow
def test_too_few_steps_under_jit():
    _, system, diameter = packing()
    compiled = jax.jit(jax.grad(lambda d: positions(d, system, Automatic(), **SHORT)[0, 0]))
    assert np.isnan(compiled(diameter)).all()


@pytest.mark.parametrize(
    ("estimator", "options", "sentence"),
    [
        (Automatic(), {"minimizer": "lbfgs"}, "unrolls fire and gradient_descent"),
        (Automatic(), {"minimizer": "precon_fire"}, "unrolls fire and gradient_descent"),
        (Implicit(CG()), {}, "Implicit\\(\\) without a solve"),
        (Automatic, {}, "give a value such as"),
        ("implicit", {}, "give a value such as"),
    ],
)
def test_refusals(estimator, options, sentence):
    _, system, diameter = packing()
    with pytest.raises(InputError, match=sentence):
        relaxed(diameter, system, estimator, **options)


# The cases below compile much for one question each.
SERIES = [Neumann(30_000), Automatic()]


@pytest.mark.slow
@pytest.mark.parametrize("estimator", SERIES, ids=["neumann", "automatic"])
@pytest.mark.parametrize("name", ["discs_with_rattlers", "walled_discs", "free_cell", "cluster"])
def test_the_limit_is_implicit_whatever_does_not_move(name, estimator):
    """Rattlers, fixed particles, strain and rotations: the same gauge for all."""
    example = EXAMPLES[name]()
    potential, system = example.potential, example.found().setting
    start = example.system.with_positions(np.asarray(system.positions))
    if example.options.get("cell"):
        start = start.with_cell(np.asarray(system.cell))
    # The tangents of gradient descent converge with the positions, those of FIRE behind them.
    probe = {"minimizer": "gradient_descent", "fmax": 1e-12, **example.options}

    def shape(params, estimator, options):
        minimum = ms.relax(potential, params, start, estimator=estimator, **options)
        return jnp.concatenate([jnp.ravel(minimum.positions), jnp.ravel(minimum.cell)])

    weight = jnp.cos(jnp.arange(start.n_particles * start.dimension + start.dimension**2))
    slope = jax.grad(lambda p, e, o: weight @ shape(p, e, o))
    expected = slope(example.params, Implicit(), example.options)
    options = probe if isinstance(estimator, Automatic) else example.options
    found = slope(example.params, estimator, options)
    for key in expected:
        close(found[key], expected[key], 1e-4)
