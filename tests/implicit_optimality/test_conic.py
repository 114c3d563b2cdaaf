"""Cone programs: derivatives against closed forms, re-solving, and the conditions of Karush et al."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import mdsens as ms
from mdsens.implicit import attach, custom_root
from mdsens.implicit.optimality import kkt
from mdsens.implicit.optimality.conic import (
    ConicPoint,
    ConicProgram,
    NonNegative,
    PositiveSemidefinite,
    SecondOrder,
    Zero,
    conic_point,
    conic_residual,
    primal_dual,
    product,
)


def differentiated(cone, z, program):
    """Jacobian of (x, y, s) by the program, at the solution z."""
    residual = conic_residual(cone)

    def solution(p):
        return primal_dual(cone, attach(residual, z, (p,)))

    return jax.jacrev(solution)(program), jax.jacfwd(solution)(program)


def linear_program(seed=3, n=4, m=7):
    """min c.x, A x <= b with a vertex solution, solved by SciPy."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(m, n))
    b = a @ rng.normal(size=n) + rng.uniform(0.1, 1.0, size=m)
    c = -a.T @ rng.uniform(0.2, 1.0, size=m)

    def solve(c, a, b):
        found = scipy.optimize.linprog(c, A_ub=a, b_ub=b, bounds=(None, None), method="highs-ds")
        assert found.success
        return found.x, -found.ineqlin.marginals, found.slack

    return solve, ConicProgram(jnp.asarray(c), jnp.asarray(a), jnp.asarray(b))


def test_linear_program_against_its_active_set():
    solve, program = linear_program()
    x, y, s = solve(*map(np.asarray, program[:3]))
    cone = NonNegative(7)
    z = conic_point(x, y, s)
    assert max(jnp.max(jnp.abs(r)) for r in conic_residual(cone)(z, program)) < 1e-12
    active = y > 1e-9
    assert active.sum() == 4
    # At a vertex A_active x = b_active and A_active^T y_active = -c.
    inverse = np.linalg.inv(np.asarray(program.A)[active])
    for jacobian in differentiated(cone, z, program):
        dx, dy, _ = jacobian
        np.testing.assert_allclose(dx.b[:, active], inverse, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(dx.b[:, ~active], 0.0, atol=1e-10)
        np.testing.assert_allclose(dx.c, 0.0, atol=1e-10)
        np.testing.assert_allclose(dy.c[active], -inverse.T, rtol=1e-9, atol=1e-10)


def test_linear_program_against_solving_again():
    solve, program = linear_program(seed=8)
    z = conic_point(*solve(*map(np.asarray, program[:3])))
    rng = np.random.default_rng(1)
    direction = ConicProgram(*(jnp.asarray(rng.normal(size=p.shape)) for p in program[:3]))
    residual, cone, h = conic_residual(NonNegative(7)), NonNegative(7), 1e-6
    got = jax.jvp(lambda p: primal_dual(cone, attach(residual, z, (p,))), (program,), (direction,))[
        1
    ]
    ends = [
        solve(*(np.asarray(p + t * h * d) for p, d in zip(program[:3], direction[:3], strict=True)))
        for t in (-1.0, 1.0)
    ]
    for tangent, low, high in zip(got, *ends, strict=True):
        np.testing.assert_allclose(tangent, (high - low) / (2 * h), rtol=1e-6, atol=1e-7)


def test_second_order_cone_in_closed_form():
    """min c.x with |x| <= r: x = -r c/|c|."""
    cone, r, c = SecondOrder(4), 1.7, np.array([0.3, -1.2, 0.8])
    unit = c / np.linalg.norm(c)

    @custom_root(conic_residual(cone))
    def solve(init, program):
        del init
        c, r = program.c, program.b[0]
        x = -r * c / jnp.linalg.norm(c)
        # y = |c| (1, c/|c|) on the boundary opposite to s = (r, x).
        return conic_point(
            x, jnp.concatenate([jnp.linalg.norm(c)[None], c]), jnp.concatenate([r[None], x])
        )

    a = jnp.concatenate([jnp.zeros((1, 3)), -jnp.eye(3)])

    def x(c, r):
        return solve(None, ConicProgram(c, a, jnp.zeros(4).at[0].set(r))).x

    by_c, by_r = jax.jacrev(x, argnums=(0, 1))(jnp.asarray(c), jnp.asarray(r))
    want = -r / np.linalg.norm(c) * (np.eye(3) - np.outer(unit, unit))
    np.testing.assert_allclose(by_c, want, atol=1e-9)
    np.testing.assert_allclose(by_r, -unit, atol=1e-9)


def test_semidefinite_program_is_an_eigenproblem():
    """min tr(C X), tr X = 1, X >= 0: X = v v^T for the lowest eigenvector of C."""
    rng = np.random.default_rng(0)
    psd, n = PositiveSemidefinite(3), 6
    c = rng.normal(size=(3, 3))
    c = c + c.T
    cone = product([Zero(1), psd])
    a = jnp.concatenate([psd.vector(np.eye(3))[None], -jnp.eye(n)])
    b = jnp.zeros(n + 1).at[0].set(1.0)

    def solution(matrix):
        values, vectors = np.linalg.eigh(matrix)
        return values[0], np.outer(vectors[:, 0], vectors[:, 0])

    lowest, x = solution(c)
    dual = jnp.concatenate([jnp.array([-lowest]), psd.vector(c - lowest * np.eye(3))])
    slack = jnp.concatenate([jnp.zeros(1), psd.vector(x)])
    z = conic_point(psd.vector(x), dual, slack)
    program = ConicProgram(psd.vector(c), a, b)
    residual = conic_residual(cone)
    assert max(jnp.max(jnp.abs(r)) for r in residual(z, program)) < 1e-12
    direction = rng.normal(size=(3, 3))
    direction = direction + direction.T
    got = jax.jvp(
        lambda vector: attach(residual, z, (program._replace(c=vector),)).x,
        (program.c,),
        (psd.vector(direction),),
    )[1]
    h = 1e-6
    want = (solution(c + h * direction)[1] - solution(c - h * direction)[1]) / (2 * h)
    np.testing.assert_allclose(psd.matrix(got), want, atol=1e-8)
    np.testing.assert_allclose(psd.matrix(psd.vector(c)), c, atol=1e-15)


def test_quadratic_program_agrees_with_kkt():
    """min x.P x/2 + c.x, E x = f, G x <= h: the same derivatives by both sets of conditions."""
    rng = np.random.default_rng(4)
    root = rng.normal(size=(3, 3))
    p, c = root @ root.T + np.eye(3), rng.normal(size=3)
    e, f = rng.normal(size=(1, 3)), np.array([0.4])
    g, h = np.array([[1.0, 0, 0], [0, 1.0, 0]]), np.array([-0.5, 5.0])
    # The first inequality is active, the second is not.
    rows = np.vstack([e, g[:1]])
    system = np.block([[p, rows.T], [rows, np.zeros((2, 2))]])
    x, nu, lam = np.split(np.linalg.solve(system, np.concatenate([-c, f, h[:1]])), [3, 4])
    lam = np.append(lam, 0.0)
    assert lam[0] > 0
    assert (g @ x - h)[1] < 0
    cone = product([Zero(1), NonNegative(2)])
    z = conic_point(x, np.concatenate([nu, lam]), np.concatenate([[0.0], h - g @ x]))
    program = ConicProgram(*map(jnp.asarray, (c, np.vstack([e, g]), np.concatenate([f, h]), p)))
    conic, _ = differentiated(cone, z, program)
    residual = kkt(
        lambda x, t: 0.5 * x @ t[0] @ x + t[1] @ x,
        lambda x, t: t[0] @ x - t[1],
        lambda x, t: t[0] @ x - t[1],
    )
    point = tuple(map(jnp.asarray, (x, nu, lam)))
    thetas = tuple(tuple(map(jnp.asarray, t)) for t in ((p, c), (e, f), (g, h)))
    other = jax.jacrev(lambda *t: attach(residual, point, t)[0], argnums=(0, 1, 2))(*thetas)
    symmetric = 0.5 * (other[0][0] + jnp.swapaxes(other[0][0], 1, 2))
    ours = 0.5 * (conic[0].P + jnp.swapaxes(conic[0].P, 1, 2))
    np.testing.assert_allclose(ours, symmetric, atol=1e-9)
    np.testing.assert_allclose(conic[0].c, other[0][1], atol=1e-9)
    np.testing.assert_allclose(conic[0].b, jnp.hstack([other[1][1], other[2][1]]), atol=1e-9)
    np.testing.assert_allclose(conic[0].A, jnp.hstack([other[1][0], other[2][0]]), atol=1e-9)


@pytest.mark.parametrize(
    "cone",
    [NonNegative(3), SecondOrder(3), PositiveSemidefinite(2)],
    ids=lambda c: type(c).__name__,
)
def test_projections_are_the_nearest_points(cone):
    """y = Pi v in K, Pi v - v in K*, orthogonal: Moreau's decomposition."""
    rng = np.random.default_rng(2)
    for scale in (-3.0, 0.0, 3.0):
        v = jnp.asarray(rng.normal(size=cone.size)).at[0].add(scale)
        y = cone.project_dual(v)
        s = y - v
        assert abs(float(y @ s)) < 1e-12
        np.testing.assert_allclose(cone.project_dual(y), y, atol=1e-12)
        np.testing.assert_allclose(cone.project_dual(s), s, atol=1e-12)


def test_a_kink_is_refused():
    """min x, x >= 0, x >= 0: one of two equal constraints has neither multiplier nor slack."""
    cone = NonNegative(2)
    program = ConicProgram(jnp.ones(1), -jnp.ones((2, 1)), jnp.zeros(2))
    z = ConicPoint(jnp.zeros(1), jnp.array([1.0, 0.0]))
    with pytest.raises(ms.DerivativeUndefined):
        jax.jvp(
            lambda b: attach(conic_residual(cone), z, (program._replace(b=b),)).x,
            (program.b,),
            (jnp.ones(2),),
        )


def test_shapes_are_checked():
    program = ConicProgram(jnp.ones(2), jnp.ones((2, 2)), jnp.zeros(3))
    z = ConicPoint(jnp.zeros(2), jnp.zeros(3))
    with pytest.raises(ms.InputError, match=r"A has shape \(2, 2\)"):
        conic_residual(NonNegative(3))(z, program)
