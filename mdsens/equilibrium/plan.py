"""How a relaxation proceeds: descend to a loose tolerance, try Newton, descend further if it fails.

Newton's method started too early (contacts still changing, curvature still negative) is worse than
useless, and when early is too early depends on the state: so it is tried at falling tolerances.
"""

from __future__ import annotations

from dataclasses import dataclass

from mdsens.state import Report

# Residuals, in units of stiffness times particle spacing, at which Newton's method is tried.
_STAGES = (1e-5, 1e-7, 1e-9, 1e-11)
# The floor of float64 in the same units: the polish aims here.
FLOOR = 1e-16


@dataclass(frozen=True)
class Plan:
    """Which minimizer ("auto" is FIRE: it compiles in a quarter of the time of L-BFGS, needs no
    energy differences and survives contact changes), tolerances and budget."""

    minimizer: str
    fmax: float
    max_steps: int
    polish: bool

    @property
    def stages(self) -> tuple[float, ...]:
        """Targets of the descent, times the force scale; 0 means fmax itself.

        Without polish the goal is the same each time, but a strained cell is a new reference.
        """
        return (*_STAGES, 0.0) if self.polish else (0.0,) * 5

    @property
    def first(self) -> str:
        return "fire" if self.minimizer == "auto" else self.minimizer

    @property
    def later(self) -> str:
        """Used after Newton's method failed once: L-BFGS needs energy differences, which drown in
        round-off long before forces do; FIRE needs forces only."""
        return "fire" if self.first == "lbfgs" else self.first


def why_not_converged(report: Report) -> str:
    """One sentence: what stopped, and what to do."""
    residual, steps = float(report.residual), int(report.steps)
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
