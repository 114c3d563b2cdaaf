"""What is known about a root and the derivative taken there."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from mdsens.errors import DerivativeUndefined, NotConverged

NAN = float("nan")


class Verdict(enum.Enum):
    """Whether the derivative may be used."""

    CERTIFIED = "certified"
    NOT_CONVERGED = "not converged"
    UNDEFINED = "undefined"


@dataclass(frozen=True, eq=False)
class RootCertificate:
    """Why the derivative of a root can be trusted, and how far; or why there is none.

    All norms are 2-norms over all components. With A = dF/dx and B = dF/dtheta at the x given,
    x* the root nearby, J = -A^-1 B; numbers that could not be had are NaN.

    Attributes:
        verdict: CERTIFIED, NOT_CONVERGED (no root can be told near x) or UNDEFINED (A is singular).
        outcome: the verdict as a sentence.
        derivative: J t, J^T v or the gradient, as asked for; None unless CERTIFIED.
        derivative_norm: its 2-norm.
        derivative_error: estimated error of the derivative: the sum of the next three.
        from_solution: from x not being x*, to the order after the leading one.
        from_solve: from what the linear solve left over, |r| / alpha.
        from_rounding: from the arithmetic, eps |A| / alpha.
        corrected: the derivative holds the correction of first order along the Newton step.
        residual: |F(x)|.
        newton_step: |d|, d = -A^-1 F.
        contraction: |A^-1 F(x + d)| / |d|; above 1/8 the verdict is NOT_CONVERGED.
        distance: estimated |x - x*|, at most residual / alpha for an A that does not change.
        alpha: smallest singular value of A (smallest |eigenvalue| of a symmetric one), on the
            complement of the null modes.
        alpha_accuracy: relative.
        alpha_method: in words.
        norm: |A|.
        null_modes: how many were declared and removed.
        response_norm: R = |B|.
        gamma, beta: Lipschitz constants of A and B about x; estimates from below.
        bound: bound on |J(x) - J(x*)|, for every direction at once and without the correction.
    """

    verdict: Verdict
    outcome: str
    residual: float
    null_modes: int
    corrected: bool
    derivative: Any = None
    derivative_norm: float = NAN
    from_solution: float = NAN
    from_solve: float = NAN
    from_rounding: float = NAN
    newton_step: float = NAN
    contraction: float = NAN
    distance: float = NAN
    alpha: float = NAN
    alpha_accuracy: float = NAN
    alpha_method: str = "not measured"
    norm: float = NAN
    response_norm: float = NAN
    gamma: float = NAN
    beta: float = NAN
    bound: float = NAN

    @property
    def derivative_error(self) -> float:
        """Estimated 2-norm of the error of the derivative."""
        return self.from_solution + self.from_solve + self.from_rounding

    @property
    def condition(self) -> float:
        """|A| / alpha."""
        return self.norm / self.alpha if self.alpha > 0 else float("inf")

    def raise_if_failed(self) -> None:
        """Raise unless the verdict is CERTIFIED.

        Raises:
            NotConverged, DerivativeUndefined: with the outcome, and this certificate as `result`.
        """
        if self.verdict is Verdict.NOT_CONVERGED:
            raise NotConverged(self.outcome, self)
        if self.verdict is Verdict.UNDEFINED:
            raise DerivativeUndefined(self.outcome, self)

    def __str__(self) -> str:
        """A table in plain text, the sentence first."""
        rows = [(label, _shown(value), note) for label, value, note in self._rows()]
        width = max(len(label) for label, _, _ in rows)
        lines = [f"  {label:<{width}}  {value:>9}  {note}".rstrip() for label, value, note in rows]
        return "\n".join([self.outcome, *lines])

    def _rows(self) -> list[tuple[str, float, str]]:
        kind = "with first-order correction" if self.corrected else ""
        return [
            ("|F(x)|", self.residual, ""),
            ("Newton step |d|", self.newton_step, f"the next is {self.contraction:.1e} of it"),
            ("distance |x - x*|", self.distance, "estimated"),
            ("alpha = min |A v|", self.alpha, f"to {self.alpha_accuracy:.0e}, {self.alpha_method}"),
            ("|A| / alpha", self.condition, f"{self.null_modes} null modes removed"),
            ("R = |B|", self.response_norm, ""),
            ("gamma = Lip A", self.gamma, ""),
            ("beta = Lip B", self.beta, ""),
            ("bound on |J - J*|", self.bound, "(beta/alpha + gamma R/alpha^2) |x - x*|"),
            ("|derivative|", self.derivative_norm, kind),
            ("error, estimated", self.derivative_error, "the sum of"),
            ("  from the solution", self.from_solution, ""),
            ("  from the solve", self.from_solve, ""),
            ("  from rounding", self.from_rounding, ""),
        ]


def _shown(value: float) -> str:
    return "unknown" if value != value else f"{value:.2e}"
