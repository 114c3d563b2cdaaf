"""Cone programs: the residual map of the homogeneous self-dual embedding, and the cones.

    min  x.P x/2 + c.x    subject to  A x + s = b,  s in K          (P = 0: a linear cone program)
    max  -x.P x/2 - b.y   subject to  P x + A^T y + c = 0,  y in K*

Any s in K and y in K* with s.y = 0 are the two parts of one vector v = y - s (Moreau): y = Pi v and
s = Pi v - v, Pi the projection onto the dual cone K*. With the unknowns z = (x, v) the conditions are

    F(z) = ( P x + A^T Pi v + c,   b - A x - (Pi v - v) ) = 0

which is the residual map ((Q - 1) Pi + 1) z of the embedding at scale w = 1: the map is homogeneous,
so that its scale is a null direction, which fixing w takes out; its last row, the duality gap, then
follows from the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.errors import InputError


class Cone(Protocol):
    """A closed convex cone K of vectors with `size` components."""

    @property
    def size(self) -> int: ...

    def project_dual(self, v: jax.Array) -> jax.Array:
        """The nearest point of K*."""
        ...

    def edge(self, v: jax.Array) -> jax.Array:
        """How far v is from where that projection has no derivative, any shape."""
        ...


@dataclass(frozen=True)
class Zero:
    """K = {0}: equations. K* is everything, and Pi the identity."""

    size: int

    def project_dual(self, v: jax.Array) -> jax.Array:
        """v."""
        return v

    def edge(self, v: jax.Array) -> jax.Array:
        """Infinite."""
        return jnp.full(1, jnp.inf)


@dataclass(frozen=True)
class NonNegative:
    """K = K* = {v >= 0}: inequalities. Pi v = max(v, 0), with a kink at 0."""

    size: int

    def project_dual(self, v: jax.Array) -> jax.Array:
        """max(v, 0)."""
        return jnp.maximum(v, 0.0)

    def edge(self, v: jax.Array) -> jax.Array:
        """|v|."""
        return jnp.abs(v)


@dataclass(frozen=True)
class SecondOrder:
    """K = K* = {(t, q): |q| <= t}. Pi is v inside, 0 in -K, and (1 + t/|q|)/2 (|q|, q) between."""

    size: int

    def project_dual(self, v: jax.Array) -> jax.Array:
        """The nearest (t, q) with |q| <= t."""
        t, q = v[0], v[1:]
        safe = _norm(q)
        length = jnp.where(jnp.any(q != 0.0), safe, 0.0)
        between = 0.5 * (1.0 + t / safe) * jnp.concatenate([length[None], q])
        return jnp.where(length <= t, v, jnp.where(length <= -t, 0.0, between))

    def edge(self, v: jax.Array) -> jax.Array:
        """||q| - |t||."""
        return jnp.abs(jnp.linalg.norm(v[1:]) - jnp.abs(v[0]))[None]


@dataclass(frozen=True)
class PositiveSemidefinite:
    """K = K*: symmetric matrices (order x order) without negative eigenvalue, as vectors.

    The vector holds the lower triangle by rows, off-diagonal entries times sqrt(2), so that its
    scalar product is that of matrices; see `vector` and `matrix`.
    """

    order: int

    @property
    def size(self) -> int:
        return self.order * (self.order + 1) // 2

    def vector(self, matrix: Any) -> jax.Array:
        """(size,) of a symmetric matrix."""
        rows, columns = np.tril_indices(self.order)
        weights = np.where(rows == columns, 1.0, np.sqrt(2.0))
        return jnp.asarray(matrix)[rows, columns] * weights

    def matrix(self, vector: Any) -> jax.Array:
        """The symmetric matrix of a vector."""
        rows, columns = np.tril_indices(self.order)
        weights = np.where(rows == columns, 1.0, np.sqrt(0.5))
        lower = jnp.zeros((self.order, self.order)).at[rows, columns].set(vector * weights)
        return lower + jnp.tril(lower, -1).T

    def project_dual(self, v: jax.Array) -> jax.Array:
        """Negative eigenvalues put to zero."""
        return self.vector(_positive_part(self.matrix(v)))

    def edge(self, v: jax.Array) -> jax.Array:
        """|eigenvalues|."""
        return jnp.abs(jnp.linalg.eigvalsh(jax.lax.stop_gradient(self.matrix(v))))


@dataclass(frozen=True)
class Product:
    """K = K_1 x K_2 x ..., the vectors one after another."""

    cones: tuple[Cone, ...]

    @property
    def size(self) -> int:
        return sum(cone.size for cone in self.cones)

    def project_dual(self, v: jax.Array) -> jax.Array:
        """Each part by itself."""
        return jnp.concatenate([c.project_dual(p) for c, p in self._parts(v)])

    def edge(self, v: jax.Array) -> jax.Array:
        """Those of all parts."""
        return jnp.concatenate([c.edge(p) for c, p in self._parts(v)])

    def _parts(self, v: jax.Array) -> list[tuple[Cone, jax.Array]]:
        ends = np.cumsum([cone.size for cone in self.cones])[:-1]
        return list(zip(self.cones, jnp.split(v, ends), strict=True))


def product(cones: Sequence[Cone]) -> Product:
    """The product of cones, in the order of the rows of A."""
    return Product(tuple(cones))


class ConicProgram(NamedTuple):
    """c (n,), A (m, n), b (m,), and P (n, n) symmetric or None: what F is differentiated by."""

    c: Any
    A: Any
    b: Any
    P: Any = None


class ConicPoint(NamedTuple):
    """The unknowns z = (x, v), v = y - s."""

    x: Any
    v: Any


def conic_point(x: Any, y: Any, s: Any) -> ConicPoint:
    """z from a solver's primal x, dual y and slack s."""
    return ConicPoint(jnp.asarray(x), jnp.asarray(y) - jnp.asarray(s))


def primal_dual(cone: Cone, z: ConicPoint) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(x, y, s) of z."""
    y = cone.project_dual(z.v)
    return z.x, y, y - z.v


def conic_residual(cone: Cone, margin: float = 1e-8) -> Callable[..., ConicPoint]:
    """F(z, program) for `custom_root`, z a `ConicPoint` and program a `ConicProgram`.

    All of x, y, s and their derivatives by c, A, b and P come from it. dF/dz is unsymmetric. It is
    regular where the solution is unique, dual and primal, and strictly complementary.

    Where v lies within `margin` of a point at which Pi has no derivative (a kink: complementarity
    is not strict) the solution has one-sided derivatives at most, and the derivative is refused.

    Args:
        cone: K, of the size of b.
        margin: in the units of y and s; above the accuracy of the solver that found them.

    Raises:
        InputError: when called, if shapes do not fit.
        DerivativeUndefined: from the derivative, in eager code, at a kink or where dF/dz is
            singular; NaN under jit and vmap.

    Busseti, Moursi, Boyd 2019, doi:10.1007/s10589-019-00079-2; Agrawal et al. 2019,
    arXiv:1904.09043; Blondel et al. 2022, arXiv:2105.15183, section 2.
    """

    def residual(z: Any, program: Any) -> ConicPoint:
        z, program = ConicPoint(*z), ConicProgram(*program)
        _check(cone, z, program)
        y = _projected(cone, margin, z.v)
        curved = 0.0 if program.P is None else program.P @ z.x
        return ConicPoint(
            curved + program.A.T @ y + program.c, program.b - program.A @ z.x - (y - z.v)
        )

    return residual


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _projected(cone: Cone, margin: float, v: jax.Array) -> jax.Array:
    del margin
    return cone.project_dual(v)


@_projected.defjvp
def _away_from_kinks(
    cone: Cone, margin: float, primals: tuple, tangents: tuple
) -> tuple[jax.Array, jax.Array]:
    y, change = jax.jvp(cone.project_dual, primals, tangents)
    kink = jnp.any(cone.edge(primals[0]) <= margin)
    return y, jnp.where(kink, jnp.nan, 1.0) * change


@jax.custom_jvp
def _positive_part(x: jax.Array) -> jax.Array:
    values, vectors = jnp.linalg.eigh(x)
    return (vectors * jnp.maximum(values, 0.0)[None]) @ vectors.T


@_positive_part.defjvp
def _divided_differences(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    """D f(X)[H] = V (f[l_i, l_j] * (V^T H V)) V^T, finite where eigenvalues coincide (Loewner)."""
    (x,), (h,) = primals, tangents
    values, vectors = jnp.linalg.eigh(x)
    positive = jnp.maximum(values, 0.0)
    gap = values[:, None] - values[None]
    same = jnp.abs(gap) <= 1e-14 * jnp.max(jnp.abs(values))
    slope = jnp.where(values > 0.0, 1.0, 0.0)[:, None] * jnp.ones_like(gap)
    ratio = jnp.where(same, slope, (positive[:, None] - positive[None]) / jnp.where(same, 1.0, gap))
    return (vectors * positive[None]) @ vectors.T, vectors @ (
        ratio * (vectors.T @ h @ vectors)
    ) @ vectors.T


def _norm(q: jax.Array) -> jax.Array:
    """|q|, one with slope zero where q = 0: the branch that uses it there is discarded."""
    square = jnp.sum(q**2)
    return jnp.sqrt(jnp.where(square > 0.0, square, 1.0))


def _check(cone: Cone, z: ConicPoint, program: ConicProgram) -> None:
    n, m = jnp.shape(program.c)[0], cone.size
    shapes = {
        "x": (jnp.shape(z.x), (n,)),
        "v": (jnp.shape(z.v), (m,)),
        "A": (jnp.shape(program.A), (m, n)),
        "b": (jnp.shape(program.b), (m,)),
        "P": ((n, n) if program.P is None else jnp.shape(program.P), (n, n)),
    }
    for name, (given, wanted) in shapes.items():
        if given != wanted:
            raise InputError(
                f"conic_residual: {name} has shape {given}; with c {(n,)} and a cone of size {m} it "
                f"must be {wanted}"
            )
