"""What a certificate means, for a reader who sees one for the first time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mdsens.result import Certificate, EnsembleCertificate, Result


def explained(result: Result) -> list[str]:
    """Sentences: what was checked, what came out, what it is worth."""
    c = result.certificate
    if isinstance(c, EnsembleCertificate):
        return list(_of_ensemble(c))
    return list(_of_minimum(c, bool(result.sensitivity)))


def _of_minimum(c: Certificate, differentiated: bool) -> Iterator[str]:
    if not c.converged:
        yield (
            f"The system did not come to rest: the largest force left is {c.fmax:.2g}. What stands "
            "here is where it stopped, not a minimum, and there are no derivatives."
        )
        return
    yield f"The system is at rest: the largest force left is {c.fmax:.2g}."
    yield _curvature(c)
    yield _removed(c)
    if not differentiated:
        yield "No derivatives were asked for, or there are none here."
        return
    yield (
        "Derivatives follow from the implicit function theorem at this state, not from how it was "
        f"found. The linear systems behind them are solved to a relative residual of "
        f"{c.solve_residual:.1g} ({c.solver})."
    )
    yield f"The worst derivative of this file is estimated to be right to {_digits(c)}."


def _curvature(c: Certificate) -> str:
    if np.isnan(c.lambda_min):
        return "The smallest curvature of the energy was not computed."
    if c.negative_modes:
        return (
            f"It is no minimum: the energy falls along {c.negative_modes} directions "
            f"(smallest eigenvalue of the Hessian {c.lambda_min:.4g})."
        )
    return (
        "It is a minimum, and a stable one: the energy rises along every direction, least with the "
        f"curvature {c.lambda_min:.4g} (smallest eigenvalue of the Hessian)."
    )


def _removed(c: Certificate) -> str:
    rattlers = (
        f"{c.rattlers} rattlers, which nothing holds, were set aside: they do not move with any "
        "parameter, and no other particle with theirs"
        if c.rattlers
        else "no particle was set aside"
    )
    return (
        f"{c.zero_modes} rigid motions cost no energy and were left out; the mean displacement is "
        f"zero. Besides, {rattlers}."
    )


def _digits(c: Certificate) -> str:
    if not 0 < c.derivative_error < 1:
        return f"{c.derivative_error:.1g}, relative"
    return f"{int(-np.log10(c.derivative_error))} digits (relative error {c.derivative_error:.1g})"


def _of_ensemble(c: EnsembleCertificate) -> Iterator[str]:
    if not c.converged:
        yield (
            f"The {c.samples} samples do not serve for averages, and there are none, nor derivatives. "
            "What stands here is where the simulation was last seen."
        )
        return
    yield (
        f"Averages of {c.samples} samples in equilibrium, after {c.discarded} of each walker were "
        "discarded. Every error is one standard deviation, with the correlation of successive "
        f"samples counted; the number that has the fewest stands on {c.effective_samples:.0f} "
        "independent ones."
    )
    yield (
        f"The kinetic temperature is {c.temperature:.4f} ± {c.temperature_error:.4f} of the target, "
        f"and the conserved quantity drifts by {c.drift:.1g} k_B T per step and degree of freedom: "
        "the time step is not too long."
    )
    yield (
        "Derivatives are covariances of the observable with the derivative of the energy in the "
        "same samples: no trajectory was differentiated, and none simulated a second time."
    )
