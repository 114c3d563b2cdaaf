"""`certify` as its users see it."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from mdsens.errors import DerivativeUndefined, Float32Error, InputError, NotConverged
from mdsens.implicit import certify, root_jvp, root_vjp
from mdsens.implicit.certificates.derivative import Forward, Reverse
from mdsens.implicit.certificates.equation import Equation
from mdsens.implicit.certificates.examine import examine
from mdsens.linear import Projector
from tests.implicit.problems import THETA, skew

OFF = jnp.array([1.0, -2.0, 0.5, 1.5]) / 3
V = jnp.array([0.3, -1.0, 2.0, 0.7])


class Unknowns(NamedTuple):
    """A solution in pieces."""

    left: jax.Array
    right: dict


def pieces(x: Unknowns, theta, count, flags, name, nothing):
    """`skew` with its unknowns in two pieces, and arguments that are no floats."""
    assert name == "x" and nothing is None
    whole = skew(jnp.concatenate([x.left, x.right["rest"]]), theta["a"] * count)
    whole = jnp.where(flags, whole, 2 * whole)
    return Unknowns(whole[:1], {"rest": whole[1:]})


ARGS = ({"a": THETA / 2}, 2, jnp.array([True, False, True, True]), "x", None)


def in_pieces(x: jax.Array) -> Unknowns:
    return Unknowns(x[:1], {"rest": x[1:]})


def observe(x: Unknowns, theta, *rest):
    del rest
    return jnp.sum(jnp.sin(x.right["rest"])) * theta["a"][0] + x.left[0] ** 2


def exact_gradient(theta):
    """By hand: the root is x = 2 a."""
    return jax.grad(lambda a: jnp.sum(jnp.sin(2 * a[1:])) * a[0] + 4 * a[0] ** 2)(theta)


KINDS = {
    "tangents": {"tangents": ({"a": V}, None, None, None, None)},
    "cotangent": {"cotangent": in_pieces(V)},
    "outer": {"outer": observe},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_root_with_a_closed_form(kind: str):
    x = in_pieces(THETA + 1e-4 * OFF)
    found = certify(pieces, x, ARGS, **KINDS[kind])
    if kind == "tangents":
        wanted, true = root_jvp(pieces, x, ARGS, KINDS[kind]["tangents"]), in_pieces(2 * V)
    elif kind == "cotangent":
        wanted = root_vjp(pieces, x, ARGS, KINDS[kind]["cotangent"])
        true = ({"a": 2 * V},)
    else:
        slope, direct = jax.grad(observe, argnums=(0, 1))(x, ARGS[0])
        indirect = root_vjp(pieces, x, ARGS, slope)
        wanted = ({"a": indirect[0]["a"] + direct["a"]}, *indirect[1:])
        true = ({"a": exact_gradient(ARGS[0]["a"])},)
    assert jax.tree.structure(found.derivative) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(found.derivative), jax.tree.leaves(wanted), strict=True):
        assert np.shape(a) == np.shape(b) and a.dtype == b.dtype
    floats = [np.asarray(a) for a in jax.tree.leaves(found.derivative) if a.dtype == float]
    same = [np.asarray(a) for a in jax.tree.leaves(wanted) if a.dtype == float]
    np.testing.assert_allclose(np.concatenate(floats), np.concatenate(same), rtol=1e-10)
    difference = np.concatenate(floats) - np.concatenate(
        [np.asarray(a) for a in jax.tree.leaves(true)]
    )
    error = np.linalg.norm(difference)
    assert error <= found.derivative_error <= 1.2 * error
    np.testing.assert_allclose(found.distance, 1e-4 * np.linalg.norm(OFF), rtol=1e-2)
    assert found.newton_step <= found.residual / found.alpha * (1 + 1e-9)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_the_correction_is_of_second_order(mode: str):
    """The Jacobian of `skew` at its root is the unit matrix."""
    equation = Equation(Partial(skew), THETA, Projector.identity(4), symmetric=False)
    forward, reverse = Forward(V), Reverse(Partial(weighted, V))
    direction = forward if mode == "forward" else reverse
    distances = np.array([1e-2, 1e-3, 1e-4])
    for corrected, order in ((False, 1), (True, 2)):
        given = [examine(equation, THETA + e * OFF, direction, corrected) for e in distances]
        errors = np.array([np.linalg.norm(c.derivative - V) for c in given])
        estimates = np.array([c.derivative_error for c in given])
        slopes = np.diff(np.log(errors)) / np.diff(np.log(distances))
        np.testing.assert_allclose(slopes, order, atol=0.1)
        assert np.all(errors <= estimates) and np.all(estimates <= 1.5 * errors)


def weighted(v, x, theta):
    del theta
    return v @ x


def test_at_the_root_rounding_is_what_is_left():
    found = certify(skew, THETA, (THETA,), tangents=(V,))
    assert found.from_solution <= found.from_rounding <= found.derivative_error < 1e-12
    assert np.linalg.norm(found.derivative - V) <= found.derivative_error
    assert found.distance < 1e-14


# A ring of springs that stiffen when stretched: translations cost nothing.
COUNT = 6
TRANSLATION = np.ones((COUNT, 1))
STIFFNESS = jnp.linspace(1.0, 2.0, COUNT)


def ring(x, stiffness):
    stretch = jnp.roll(x, -1) - x - jnp.arange(1.0, COUNT + 1)
    tension = stiffness * stretch + 0.1 * stretch**3
    return jnp.roll(tension, 1) - tension


@jax.jit
def settled(stiffness: jax.Array) -> jax.Array:
    def newton(_, x):
        matrix = jax.jacfwd(ring)(x, stiffness)
        return x - jnp.linalg.pinv(matrix, rtol=1e-10) @ ring(x, stiffness)

    return jax.lax.fori_loop(0, 20, newton, jnp.zeros(COUNT))


@pytest.fixture(scope="module")
def at_rest() -> jax.Array:
    return settled(STIFFNESS)


def certify_ring(x, force=ring, basis=TRANSLATION, args=(STIFFNESS,)):
    v = jnp.arange(float(COUNT)) ** 2
    return certify(force, x, args, cotangent=v, symmetric=True, null_basis=basis)


def test_null_modes(at_rest: jax.Array):
    """Against re-solving: translations are left out of the displacement, whatever the cotangent."""
    found = certify_ring(at_rest + 1e-6 * jnp.sin(jnp.arange(6.0)))
    v, h = np.arange(float(COUNT)) ** 2, 1e-5
    moved = [np.asarray(settled(STIFFNESS + d) - settled(STIFFNESS - d)) for d in h * np.eye(COUNT)]
    wanted = np.array([v @ (m - m.mean()) for m in moved]) / (2 * h)
    error = np.linalg.norm(found.derivative[0] - wanted)
    assert error <= found.derivative_error + 1e-8
    assert found.derivative_error < 1e-4 and found.null_modes == 1
    values = np.abs(np.linalg.eigvalsh(jax.jacfwd(ring)(at_rest, STIFFNESS)))
    np.testing.assert_allclose(found.alpha, np.sort(values)[1], rtol=1e-4)


def test_undeclared_null_modes_are_told(at_rest: jax.Array):
    with pytest.raises(DerivativeUndefined, match="singular") as caught:
        certify_ring(at_rest, basis=None)
    found = caught.value.result
    assert found.alpha < 1e-14 * found.norm and found.derivative is None
    assert "null_basis" in found.outcome and "unknown" in str(found)


def pushed(x, stiffness, push):
    """The push moves the ring as a whole: no springs can balance it."""
    return ring(x, stiffness) + push


@pytest.mark.parametrize(
    ("force", "args"),
    [(pushed, (STIFFNESS, 0.0)), (lambda x, k: pushed(x, k, 0.1), (STIFFNESS,))],
    ids=["in its derivative", "in the force"],
)
def test_what_no_displacement_can_balance(force, args: tuple, at_rest: jax.Array):
    with pytest.raises(DerivativeUndefined, match="null mode"):
        certify_ring(at_rest, force, args=args)


WRONG_BASES = {
    "no null mode": (np.arange(6.0)[:, None], "no null modes"),
    "another shape": (np.ones(6), "shape"),
    "too many": (np.eye(6), "shape"),
    "twice the same": (np.ones((6, 2)), "dependent"),
}


@pytest.mark.parametrize("kind", WRONG_BASES)
def test_wrong_null_modes(kind: str, at_rest: jax.Array):
    basis, message = WRONG_BASES[kind]
    with pytest.raises(InputError, match=message):
        certify_ring(at_rest, basis=basis)


def parabola(x, theta):
    """Two branches that meet in a fold at theta = 0; the second unknown is harmless."""
    return jnp.array([x[0] ** 2 - theta, x[1] - theta])


FAR = {
    "between the branches": jnp.array([0.02, 1.0]),
    "where there is no root": jnp.array([0.3, -1.0]),
}


@pytest.mark.parametrize("kind", FAR)
def test_no_root_nearby(kind: str):
    theta = FAR[kind][1]
    with pytest.raises(NotConverged, match="not converged") as caught:
        certify(parabola, jnp.array([FAR[kind][0], theta]), (theta,), cotangent=jnp.ones(2))
    found = caught.value.result
    assert found.derivative is None and found.contraction > 0.125 and found.residual > 0.05


def test_a_fold():
    zero = jnp.zeros(2)
    with pytest.raises(DerivativeUndefined, match="fold") as caught:
        certify(parabola, zero, (0.0,), tangents=(1.0,))
    assert caught.value.result.alpha == 0.0


def test_a_solution_that_is_only_roughly_right_is_told():
    found = certify(parabola, jnp.array([1.05, 1.0]), (1.0,), tangents=(1.0,))
    assert 0.02 < found.derivative_error < 0.05
    assert "mostly from the distance" in found.outcome


def test_the_table():
    text = str(certify(skew, THETA + 1e-5 * OFF, (THETA,), cotangent=V, corrected=True))
    sentence, *rows = text.split("\n")
    assert sentence.startswith("the solution is ") and "estimated error" in sentence
    for label in ("|F(x)|", "alpha", "R = |B|", "gamma", "beta", "bound on", "from rounding"):
        assert sum(row.strip().startswith(label) for row in rows) == 1, label
    assert "with first-order correction" in text and text.isascii()
    assert "unknown" not in text and max(map(len, rows)) < 100


def with_jump(x, theta):
    return jnp.where(x > 0, jnp.nan, x - theta)


REFUSED = {
    "nothing asked": (skew, THETA, (THETA,), {}, "only one"),
    "two things asked": (skew, THETA, (THETA,), {"tangents": (V,), "cotangent": V}, "only one"),
    "another cotangent": (skew, THETA, (THETA,), {"cotangent": jnp.ones(3)}, "cotangent"),
    "another tangent": (skew, THETA, (THETA,), {"tangents": (V, V)}, "tangents"),
    "no scalar": (skew, THETA, (THETA,), {"outer": lambda x, t: x}, "scalar"),
    "no parameter": (lambda x, k: x * k, THETA, (2,), {"cotangent": V}, "no floating"),
    "complex": (lambda x, c: x - c.real, THETA, (THETA + 0j,), {"cotangent": V}, "complex"),
    "not symmetric": (skew, THETA, (THETA,), {"cotangent": V, "symmetric": True}, "promised"),
    "no basis for that": (
        skew, THETA, (THETA,), {"cotangent": V, "null_basis": np.ones((4, 1))}, "symmetric=True",
    ),
    "another shape of F": (lambda x, t: x[:3], THETA, (THETA,), {"cotangent": V}, "shape"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind: str):
    force, sol, args, options, message = REFUSED[kind]
    with pytest.raises(InputError, match=message):
        certify(force, sol, args, **options)


def test_numbers_that_are_not_finite_are_refused():
    for force, sol, v in (
        (skew, THETA.at[1].set(jnp.nan), V),
        (with_jump, THETA, V),
        (skew, THETA, V.at[0].set(jnp.inf)),
    ):
        with pytest.raises(DerivativeUndefined, match="NaN"):
            certify(force, sol, (THETA,), cotangent=v)


def test_single_precision_is_refused():
    with pytest.raises(Float32Error):
        certify(skew, THETA.astype(jnp.float32), (THETA,), cotangent=V)


def test_traced_values_are_refused():
    with pytest.raises(InputError, match="outside of jit"):
        jax.jit(lambda t: certify(skew, THETA, (t,), cotangent=V))(THETA)
    with pytest.raises(InputError, match="outside of jit"):
        jax.grad(lambda s: certify(lambda x, t: s * skew(x, t), THETA, (THETA,), cotangent=V))(1.0)
