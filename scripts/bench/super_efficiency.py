"""How the error of a gradient falls with the error of the minimum, for each estimator. JSON out.

`python scripts/bench/super_efficiency.py [-o FILE.json] [--figure FILE.png]`

x_k is reached by k steps towards x*(theta) = argmin_x f(x, theta). Two gradients are estimated at
x_k: that of the minimum value f(x*(theta), theta) and that of another observable o(x*(theta), theta).
Their errors go as |x_k - x*|^p:

    estimator    p of the value           p of an observable
    analytic     1                        0
    automatic    2, less a logarithm      1, less a logarithm
    implicit     2                        1

Ablin, Peyre, Moreau 2020, arXiv:2002.03722. Two problems: an l2-regularised logistic regression by
its penalties (gradient descent), and the energy of a packing by its diameters (heavy ball).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

import mdsens as ms  # noqa: E402
from mdsens.equilibrium import Found, search  # noqa: E402
from mdsens.equilibrium.linearized import backbone  # noqa: E402
from mdsens.implicit import Analytic, Automatic, Estimator, Implicit, Iteration  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
ESTIMATORS: dict[str, Estimator] = {
    "analytic": Analytic(),
    "automatic": Automatic(),
    "implicit": Implicit(),
}
# Relative errors below are not looked at.
ROUND_OFF = 1e-13
# Expected orders, of the value and of another observable.
ORDERS = {"analytic": (1, 0), "automatic": (2, 1), "implicit": (2, 1)}


class Problem(NamedTuple):
    """x*(theta) = argmin_x value(x, theta), and a way there.

    Attributes:
        value, observable: (x, theta) -> scalar.
        x0, solution: where to start, and the end; (n,).
        theta: (p,).
        step, momentum: of the heavy ball x + momentum (x - x_before) - step grad.
    """

    name: str
    value: Callable[[Any, Any], jax.Array]
    observable: Callable[[Any, Any], jax.Array]
    x0: jax.Array
    solution: jax.Array
    theta: jax.Array
    step: float
    momentum: float


def logistic(samples: int = 120, features: int = 10, seed: int = 0) -> Problem:
    """mean log(1 + exp(-y X w)) + penalties . w^2 / 2, by its penalties; gradient descent."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, features)) * np.linspace(1.0, 4.0, features)
    y = np.sign(x @ rng.normal(size=features) + rng.normal(size=samples))
    signed = jnp.asarray(y[:, None] * x)
    theta = jnp.asarray(0.1 * rng.uniform(0.5, 2.0, features))

    def value(w: jax.Array, penalties: jax.Array) -> jax.Array:
        return jnp.mean(jnp.logaddexp(0.0, -signed @ w)) + 0.5 * jnp.sum(penalties * w**2)

    def observable(w: jax.Array, penalties: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(w)) + jnp.sum(penalties)

    hessian, slope = jax.hessian(value), jax.grad(value)
    newton = jax.jit(lambda w: w - jnp.linalg.solve(hessian(w, theta), slope(w, theta)))
    w = jnp.zeros(features)
    for _ in range(20):
        w = newton(w)
    largest = float(np.linalg.eigvalsh(jax.jit(hessian)(w, theta))[-1])
    return Problem("logistic regression", value, observable, 0.0 * w, w, theta, 1.0 / largest, 0.0)


def packing(found: Found, amplitude: float = 1e-4) -> Problem:
    """The energy of a packing by its diameters; heavy ball.

    The start is off along the softest mode, the last to come to rest. The error is a number times
    the distance squared, and that number depends on the direction: from a start in many modes it
    drifts as the stiff ones die out, and the order seems to be 1.9. No disc moves further than the
    amplitude, too little to open or close a contact.
    """
    here = backbone(found.problem, found.setting)
    s, potential = here.setting, found.problem.potential
    n, d = s.positions.shape

    def value(x: jax.Array, diameter: jax.Array) -> jax.Array:
        params = {**s.params, "diameter": diameter}
        return potential.energy(params, x.reshape(n, d), s.cell, s.neighbors)

    weights = jnp.cos(jnp.arange(n * d))

    def observable(x: jax.Array, diameter: jax.Array) -> jax.Array:
        return weights @ x + jnp.sum(diameter)

    x, theta = jnp.ravel(s.positions), jnp.asarray(s.params["diameter"])
    stiffness, modes = np.linalg.eigh(jax.jit(jax.hessian(value))(x, theta))
    alive = stiffness > 1e-9 * stiffness[-1]
    stiffness, modes = stiffness[alive], modes[:, alive]
    x0 = x + amplitude * modes[:, 0] / np.abs(modes[:, 0]).max()
    # Tuned to twice the softest frequency: the softest mode decays without oscillating.
    soft, stiff = 2.0 * np.sqrt(stiffness[0]), np.sqrt(stiffness[-1])
    step, momentum = 4.0 / (soft + stiff) ** 2, ((stiff - soft) / (stiff + soft)) ** 2
    return Problem(f"{n} discs", value, observable, x0, x, theta, step, momentum)


def stopping(problem: Problem, most: int) -> Iteration:
    """The heavy ball at rest after k steps, k an argument: one program for every k up to `most`."""
    slope = jax.grad(problem.value)

    def step(state: tuple, theta: jax.Array, k: jax.Array) -> tuple:
        x, before, made = state
        new = x - problem.step * slope(x, theta) + problem.momentum * (x - before)
        on = made < k
        return jnp.where(on, new, x), jnp.where(on, x, before), made + 1

    return Iteration(
        step,
        lambda x, theta, k: slope(x, theta),
        init=lambda x0, theta, k: (x0, x0, jnp.asarray(0)),
        read=lambda state: state[0],
        tol=0.0,
        max_steps=most,
    )


class Curve(NamedTuple):
    """Errors of x and of both gradients, relative, at each number of steps; and their orders."""

    steps: list[int]
    distance: list[float]
    value: list[float]
    observable: list[float]
    orders: tuple[float, float]


def study(problem: Problem, steps: Sequence[int]) -> dict[str, Curve]:
    """The errors of every estimator after each number of steps."""
    gradients = {name: gradient(problem, e, max(steps)) for name, e in ESTIMATORS.items()}
    exact, _ = gradients["implicit"](problem.theta, problem.solution, 0)
    curves = {}
    for name, estimate in gradients.items():
        rows = []
        for k in steps:
            found, x = estimate(problem.theta, problem.x0, k)
            errors = np.linalg.norm(found - exact, axis=1) / np.linalg.norm(exact, axis=1)
            rows.append((float(jnp.linalg.norm(x - problem.solution)), *map(float, errors)))
        distance, value, observable = map(list, zip(*rows, strict=True))
        orders = order(distance, value), order(distance, observable)
        curves[name] = Curve(list(steps), distance, value, observable, orders)
    return curves


def gradient(problem: Problem, estimator: Estimator, most: int) -> Callable[..., tuple]:
    """(theta, x0, k) -> (gradients of value and observable (2, p), x_k)."""
    iteration = stopping(problem, most)

    def measured(theta: jax.Array, x0: jax.Array, k: Any) -> tuple[jax.Array, jax.Array]:
        x = estimator(iteration, x0, theta, k)
        return jnp.stack([problem.value(x, theta), problem.observable(x, theta)]), x

    return jax.jit(jax.jacrev(measured, has_aux=True))


def order(distance: Sequence[float], error: Sequence[float]) -> float:
    """The exponent p of error ~ distance^p: the median slope between all pairs of points that are an
    e-fold or more apart, above round-off and closer than a tenth of the way at the start."""
    x, y = np.log(distance), np.log(np.maximum(error, 1e-300))
    good = (y > np.log(ROUND_OFF)) & (x < x[0] - np.log(10.0))
    x, y = x[good], y[good]
    i, j = np.triu_indices(len(x), k=1)
    apart = np.abs(x[i] - x[j]) > 1.0
    return float(np.median((y[i] - y[j])[apart] / (x[i] - x[j])[apart]))


def ladder(most: int, count: int) -> list[int]:
    """Numbers of steps up to `most`, evenly spaced: the error falls geometrically."""
    return [int(k) for k in np.linspace(1, most, count)]


def draw(curves: dict[str, dict[str, Curve]], path: Path) -> None:
    """Rows: problems. Columns: the minimum value, another observable."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.6 * len(curves)), layout="constrained")
    rows = figure.subplots(len(curves), 2, squeeze=False)
    for row, (problem, estimators) in zip(rows, curves.items(), strict=True):
        for column, what in enumerate(("value", "observable")):
            panel(row[column], estimators, what, column)
            title = "the minimum value" if what == "value" else "another observable"
            row[column].set_title(f"{problem}: gradient of {title}", fontsize=10)
    figure.savefig(path, dpi=160)


def panel(axes: Any, estimators: dict[str, Curve], what: str, column: int) -> None:
    colours = {"analytic": "#777777", "automatic": "#D55E00", "implicit": "#0072B2"}
    marks = {"analytic": "s", "automatic": "o", "implicit": "^"}
    for name, curve in estimators.items():
        distance, error = np.asarray(curve.distance), np.asarray(getattr(curve, what))
        label = f"{name}: order {curve.orders[column]:.2f}"
        axes.loglog(distance, error, marks[name], ms=4, color=colours[name], label=label)
        # A line of the whole order, through the last point that is used.
        used = np.flatnonzero(error > ROUND_OFF)
        line = error[used[-1]] * (distance[used] / distance[used[-1]]) ** ORDERS[name][column]
        axes.loglog(distance[used], line, "-", lw=0.8, color=colours[name], alpha=0.5, zorder=0)
    axes.axhspan(1e-16, ROUND_OFF, color="#eeeeee", zorder=-1)
    axes.set(ylim=(1e-16, 10.0), xlabel=r"$|x_k - x^*|$", ylabel="relative error")
    axes.invert_xaxis()
    axes.grid(alpha=0.2)
    place = "upper right" if what == "value" else "lower left"
    axes.legend(frameon=False, fontsize=9, loc=place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("super_efficiency.json"))
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()

    system = ms.read(ROOT / "systems" / "disks_128" / "disks.extxyz")
    potential = ms.potentials.SoftSphere()
    found = search(potential, potential.parameters(system, diameter="diameter"), system)
    problems = [(logistic(), 140), (packing(found), 900)]
    curves = {}
    for problem, most in problems:
        curves[problem.name] = study(problem, ladder(most, 29))
        print(f"{problem.name}: order of the error of the gradient")
        print(f"  {'estimator':12}{'value':>8}{'expected':>10}{'observable':>12}{'expected':>10}")
        for estimator, curve in curves[problem.name].items():
            (value, observable), expected = curve.orders, ORDERS[estimator]
            print(
                f"  {estimator:12}{value:8.2f}{expected[0]:10d}{observable:12.2f}{expected[1]:10d}"
            )
    record = {
        "what": "order p of (error of a gradient) ~ |x_k - x*|^p",
        "problems": {
            problem: {name: curve._asdict() for name, curve in found.items()}
            for problem, found in curves.items()
        },
        "versions": {
            "jax": jax.__version__,
            "mdsens": ms.__version__,
            "python": platform.python_version(),
        },
    }
    options.output.write_text(json.dumps(record, indent=2) + "\n")
    print(f"wrote {options.output}")
    if options.figure:
        draw(curves, options.figure)
        print(f"wrote {options.figure}")


if __name__ == "__main__":
    main()
