"""Outcomes without computing: what an item's number says; every seventh did not converge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mdsens.sweeps.outcomes import Outcome
from tests.io import handmade


def fake_compute(items, batch: np.ndarray) -> list[Outcome]:
    return [_outcome(int(item)) for item in batch]


def _outcome(item: int) -> Outcome:
    done = handmade.result(item)
    done = replace(done, provenance={**done.provenance, "steps": item, "newton_steps": 1})
    if item % 7 == 3:
        why = "relax: not converged"
        certificate = replace(done.certificate, converged=False, outcome=why)
        return Outcome(3, why, replace(done, sensitivity={}, certificate=certificate), 0.1)
    return Outcome(0, done.certificate.outcome, done, 0.1)
