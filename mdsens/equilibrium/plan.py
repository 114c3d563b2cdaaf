"""How a relaxation proceeds: descend to a loose tolerance, try Newton, descend further if it fails.

Newton's method started too early (contacts still changing, curvature still negative) is worse than
useless, and when early is too early depends on the state: so it is tried at falling tolerances.
"""

from __future__ import annotations

from dataclasses import dataclass

from mdsens.state import Report

# Residuals, in units of stiffness times particle spacing, at which Newton's method is tried in
# compiled code, where a factorisation is dense and cheap or a solve by conjugate gradients.
_STAGES = (1e-5, 1e-7, 1e-9, 1e-11)
# With concrete numbers a sparse factorisation costs as much as the descent by some decades does:
# so much farther down the descent goes, in so many steps, before Newton's method is tried; should it
# fail, without that limit.
_NEAR, _DEEP, _TRIAL = 1e-5, 1e-10, 2000
# The floor of float64 in the same units: the polish aims here.
FLOOR = 1e-16


@dataclass(frozen=True)
class Plan:
    """Which minimizer ("auto" is L-BFGS), tolerances and budget, and the factor by which the volume of a
    free cell may change."""

    minimizer: str
    fmax: float
    max_steps: int
    polish: bool
    swelling: float = 100.0

    @property
    def stages(self) -> tuple[float, ...]:
        """Targets of the descent, times the force scale; 0 means fmax itself.

        Without polish the goal is the same each time, but a strained cell is a new reference.
        """
        return (*_STAGES, 0.0) if self.polish else (0.0,) * 5

    @property
    def attempts(self) -> tuple[tuple[float, int | None, bool], ...]:
        """(target, steps at most, whether to polish then) with concrete numbers, one after another."""
        if not self.polish:
            return ((0.0, None, False),) * 5
        return (
            (_NEAR, None, False), (_DEEP, _TRIAL, True), (_DEEP, None, True), (0.0, None, True),
        )  # fmt: skip

    @property
    def first(self) -> str:
        return "lbfgs" if self.minimizer == "auto" else self.minimizer

    @property
    def later(self) -> str:
        """Used after the first gave up: FIRE is slow, and stopped by nothing."""
        return "fire" if self.first == "lbfgs" else self.first


def why_not_converged(report: Report) -> str:
    """One sentence: what stopped, and what to do."""
    residual, steps = float(report.residual), int(report.steps)
    if float(report.swelling) != 1.0:
        return (
            f"relax: the cell runs away: after {steps} steps its volume is "
            f"{float(report.swelling):.2g} times that of the start; there is no minimum at this "
            "pressure, or the start is far from it: check pressure, units and cell"
        )
    if not bool(report.finite):
        return (
            f"relax: positions or forces are not finite after {steps} steps; the start is probably "
            "too far from a minimum, or a neighbour list of an adopted jax-md energy overflowed"
        )
    if not bool(report.neighbors_valid):
        return (
            f"relax: the neighbour list overflowed or lost pairs after {steps} steps; allocate a "
            "larger one with mdsens.neighbor_list(..., skin=...)"
        )
    return (
        f"relax: not converged, fmax {residual:.3g} after {steps} steps; raise max_steps or fmax, "
        "or choose another minimizer"
    )
