"""Computing a batch: at once where that is possible, else one by one in a process that is warm."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from mdsens.errors import DerivativeUndefined, MdsensError, NotConverged, OutputError
from mdsens.result import Result
from mdsens.sweeps.items import Items, StaleFile
from mdsens.sweeps.outcomes import Outcome
from mdsens.workflow import Job, can_be_batched, sensitivities, sensitivity


def compute(items: Items, batch: np.ndarray) -> list[Outcome]:
    """The outcomes of a batch, in its order.

    Raises:
        StaleFile: a file is not what it was when the plan was made.
    """
    made = {int(item): _attempted(lambda item=item: items.job(int(item))) for item in batch}
    jobs = {item: job for item, job in made.items() if isinstance(job, Job)}
    start = time.perf_counter()
    if jobs and not items.one_by_one and all(map(can_be_batched, jobs.values())):
        together = _attempted(lambda: sensitivities(list(jobs.values())))
        ends = together if isinstance(together, list) else [together] * len(jobs)
        seconds = (time.perf_counter() - start) / len(jobs)
        spent = dict.fromkeys(jobs, seconds)
        made |= dict(zip(jobs, ends, strict=True))
    else:
        spent = {}
        for item, job in jobs.items():
            start = time.perf_counter()
            made[item] = _attempted(lambda job=job: sensitivity(job))
            spent[item] = time.perf_counter() - start
    return [_outcome(items, end, spent.get(item, 0.0)) for item, end in made.items()]


def _attempted(act: Callable[[], object]) -> object:
    """What an act returns or raises; one item, whatever is wrong with it, does not end the others."""
    try:
        return act()
    except (StaleFile, OutputError):
        raise
    except Exception as error:
        return error


def _outcome(items: Items, end: object, seconds: float) -> Outcome:
    if isinstance(end, Result):
        return Outcome(0, end.certificate.outcome, end, seconds)
    # Where the sweep lies says nothing about the item.
    sentence = " ".join(str(end).replace(f"{items.folder}/", "").split())
    if isinstance(end, NotConverged | DerivativeUndefined):
        known = end.result if isinstance(end.result, Result) else None
        return Outcome(end.exit_code, sentence, known, seconds)
    if isinstance(end, MdsensError):
        return Outcome(end.exit_code, sentence, None, seconds)
    return Outcome(1, f"internal: {type(end).__name__}: {sentence[:300]}", None, seconds)
