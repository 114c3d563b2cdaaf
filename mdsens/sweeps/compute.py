"""Computing a batch."""

from __future__ import annotations

import time

import numpy as np

from mdsens.errors import DerivativeUndefined, InputError, NotConverged, OutputError
from mdsens.result import Result
from mdsens.sweeps.items import Items, StaleFile
from mdsens.sweeps.outcomes import Outcome
from mdsens.workflow import sensitivity


def compute(items: Items, batch: np.ndarray) -> list[Outcome]:
    """The outcomes of a batch, in its order.

    Raises:
        StaleFile: a file is not what it was when the plan was made.
    """
    return [_outcome(items, int(item)) for item in batch]


def _outcome(items: Items, item: int) -> Outcome:
    start = time.perf_counter()

    def ended(code: int, sentence: str, result: object = None) -> Outcome:
        found = result if isinstance(result, Result) else None
        # Where the sweep lies says nothing about the item.
        told = sentence.replace(f"{items.folder}/", "")
        return Outcome(code, told, found, time.perf_counter() - start)

    try:
        result = sensitivity(items.job(item))
        return ended(0, result.certificate.outcome, result)
    except (StaleFile, OutputError):
        raise
    except (NotConverged, DerivativeUndefined) as error:
        return ended(error.exit_code, str(error), error.result)
    except InputError as error:
        return ended(error.exit_code, str(error))
    except Exception as error:  # one item, whatever is wrong with it, does not end the others
        return ended(1, f"internal: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
