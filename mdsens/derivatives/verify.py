"""`verify`: the same derivatives by brute force, re-relaxing on both sides of each parameter.

Central differences along unit directions, with Richardson's extrapolation:

    D(h) = [o(theta + h) - o(theta - h)] / 2h,    D = (4 D(h/2) - D(h)) / 3

The expected error of D is the truncation |D(h/2) - D(h)| / 3 plus what the noise of o is worth,
1e3 eps s / h, where s is |o|, or how far o swings when particles move by their spacing if that is
more: the stress of a relaxed cell is nothing but noise, on the scale of a stiffness. A packing adds
a third kind: within h a contact may open or close, and the difference then averages two branches;
D(h) and D(h/2) disagree, and the expected error says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from mdsens.derivatives.kernels import Kernels, state_of
from mdsens.derivatives.named import replaced
from mdsens.derivatives.request import Request, make_request
from mdsens.derivatives.sensitivity import sensitivity
from mdsens.derivatives.total import swing_of
from mdsens.equilibrium import Found, Progress, search
from mdsens.equilibrium.problem import spacing
from mdsens.errors import NotConverged
from mdsens.observables.elasticity import WITH_DISPLACEMENTS
from mdsens.potentials import Potential
from mdsens.result import Result
from mdsens.system import System

# Relative steps tried from the largest down until D(h) and D(h/2) agree.
_STEPS = (1e-4, 1e-5, 1e-6, 1e-7)
_AGREE = 1e-6
# Multiples of the expected error within which a difference is called agreement.
_SIGMA = 5.0


@dataclass(frozen=True)
class Check:
    """One component of one derivative, two ways.

    Attributes:
        observable, parameter, component: which; the component is written [index], [key] or, for an
            array-valued observable, observable component first.
        implicit: from the implicit function theorem.
        finite_difference: from re-relaxation.
        difference: their absolute difference.
        expected_error: what the finite difference itself can be trusted to, absolute.
        agrees: difference <= 5 expected errors.
    """

    observable: str
    parameter: str
    component: str
    implicit: float
    finite_difference: float
    difference: float
    expected_error: float
    agrees: bool


def verify(
    potential: Potential,
    params: Any,
    system: System,
    *,
    observables: Sequence[str | Callable[..., Any]] = ("energy",),
    wrt: Sequence[str] = (),
    samples: int = 4,
    seed: int = 0,
    progress: Progress | None = None,
    solver: str = "auto",
    rtol: float = 1e-10,
    **relax_options: Any,
) -> list[Check]:
    """Compare implicit derivatives with re-relaxed central finite differences.

    Every component of a small parameter is checked; of a large one `samples` drawn at random and
    the one with the largest response. Costs four relaxations per component and step size, each
    from the relaxed state.

    Args:
        potential, params, system, observables, wrt, **relax_options: as for `sensitivity`;
            "positions" is left out.
        samples: components per large parameter.
        seed: of their choice.

    Returns:
        One Check per observable component and parameter component.

    Raises:
        NotConverged, DerivativeUndefined: the state itself has no derivative.
    """
    # Positions are settled through what is measured from them; N d rows say less than few.
    observables = [o for o in observables if o != "positions"]
    result = sensitivity(
        potential, params, system, observables=observables, wrt=wrt, solver=solver, rtol=rtol,
        progress=progress, **relax_options,
    )  # fmt: skip
    request = make_request(
        potential, params, system.units, system.dimension, observables, wrt, False
    )
    differ = _Differences(request, result.system, relax_options)
    report = progress or (lambda *_: None)
    rng = np.random.default_rng(seed)
    todo = [(p, k) for p in wrt for k in _components(result, p, request, samples, rng)]
    rows: list[Check] = []
    for done, (parameter, k) in enumerate(todo):
        report("verify", done, len(todo), f"{parameter}[{k}]")
        found = differ.along(parameter, k)
        for name, (value, error) in found.items():
            rows += _compare(result, name, parameter, k, value, error)
    return rows


class _Differences:
    """Finite differences of all observables along one parameter component."""

    def __init__(self, request: Request, start: System, options: dict[str, Any]):
        self.request, self.start, self.options = request, start, options
        found = search(request.potential, request.params, start, **options)
        self._swing = {
            name: _swing(request, found, f) for name, f in request.differentiable.items()
        }

    def along(self, parameter: str, k: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """(derivative, expected error) by observable, from the first step that is small enough."""
        theta = np.asarray(self.request.theta[parameter])
        size = abs(float(theta.reshape(-1)[k])) or 1.0
        best: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for relative in _STEPS:
            found = self._extrapolated(parameter, k, relative * size)
            for name, pair in found.items():
                if name not in best or np.max(pair[1]) < np.max(best[name][1]):
                    best[name] = pair
            if all(_settled(*pair) for pair in best.values()):
                break
        return best

    def _extrapolated(
        self, parameter: str, k: int, h: float
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        ends = {f: self._measure(parameter, k, f * h) for f in (-1.0, -0.5, 0.5, 1.0)}
        out = {}
        for name in self.request.differentiable:
            wide = (ends[1.0][name] - ends[-1.0][name]) / (2.0 * h)
            narrow = (ends[0.5][name] - ends[-0.5][name]) / h
            value = (4.0 * narrow - wide) / 3.0
            size = max(float(np.max(np.abs(ends[1.0][name]))), self._swing[name])
            noise = 1e3 * np.finfo(float).eps * size / h
            out[name] = (value, np.abs(narrow - wide) / 3.0 + noise)
        return out

    def _measure(self, parameter: str, k: int, step: float) -> dict[str, np.ndarray]:
        theta = np.array(self.request.theta[parameter], dtype=float)
        theta.reshape(-1)[k] += step
        params = replaced(self.request.params, {parameter: jnp.asarray(theta)})
        found = search(self.request.potential, params, self.start, **self.options)
        if found.why:
            raise NotConverged(f"verify: {parameter}[{k}] moved by {step:.3g}: {found.why}")
        state = state_of(found.problem, found.setting)
        return {
            name: np.asarray(f(self.request.potential, params, state))
            for name, f in self.request.differentiable.items()
        }


def _swing(request: Request, found: Found, observable: Callable[..., Any]) -> float:
    """See `swing_of`; 0 for moduli, which do not vanish."""
    if observable in WITH_DISPLACEMENTS or not request.theta:
        return 0.0
    kernels, length = Kernels(found.problem, Partial(observable)), float(spacing(found.setting))
    n = found.problem.start(found.setting).size
    return swing_of(kernels, request.theta, found.setting, length, n)


def _settled(value: np.ndarray, error: np.ndarray) -> bool:
    return bool(np.max(error) <= _AGREE * np.max(np.abs(value)))


def _components(
    result: Result, parameter: str, request: Request, samples: int, rng: np.random.Generator
) -> list[int]:
    size = int(np.asarray(request.theta[parameter]).size)
    if size <= samples + 1:
        return list(range(size))
    chosen = set(rng.choice(size, samples, replace=False).tolist())
    for by_parameter in result.sensitivity.values():
        value = np.asarray(by_parameter[parameter].value)
        chosen.add(int(np.argmax(np.abs(value.reshape(-1, size)).max(axis=0))))
        break
    return sorted(chosen)


def _compare(
    result: Result, name: str, parameter: str, k: int, value: np.ndarray, error: np.ndarray
) -> list[Check]:
    derivative = result.sensitivity[name][parameter]
    shape = np.shape(value)
    table = np.asarray(derivative.value).reshape(*shape, -1)
    inner = derivative.keys[k] if derivative.keys else str(k)
    of = "" if table.shape[-1] == 1 and derivative.keys is None else f"[{inner}]"
    rows = []
    for place in np.ndindex(*shape):
        implicit, difference = float(table[(*place, k)]), float(np.asarray(value)[place])
        expected = float(np.asarray(error)[place])
        gap = abs(implicit - difference)
        where = "".join(f"[{a}]" for a in place) + of
        rows.append(
            Check(
                name,
                parameter,
                where,
                implicit,
                difference,
                gap,
                expected,
                gap <= _SIGMA * expected,
            )
        )
    return rows
