"""How far a sweep has come, from what its shards say at their ends. No JAX."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from mdsens.sweeps.outcomes import REASONS
from mdsens.sweeps.shards import Shards


@dataclass(frozen=True)
class Status:
    """How far a sweep has come.

    Attributes:
        items, batches: of the plan.
        done: items with a derivative.
        failed: items without, by reason.
        batches_done: shards that are there.
        claimed: batches that somebody is at.
        rate: items per second lately, all workers together; None if unknown.
        seconds_left: at that rate; None if unknown.
    """

    items: int
    batches: int
    done: int
    failed: dict[str, int]
    batches_done: int
    claimed: int
    rate: float | None
    seconds_left: float | None


def status(shards: Shards) -> Status:
    """Looks at the end of every shard, not at its content: `merge` does.

    Raises:
        InputError: the shards are another plan's.
    """
    shards.check()
    codes: Counter[int] = Counter()
    times: list[tuple[float, int]] = []
    claimed = 0
    for batch, items in enumerate(shards.plan.batches):
        note = shards.note(batch)
        if note and shards.is_done(batch, thorough=False):
            codes.update({int(code): count for code, count in note["codes"].items()})
            times.append((shards.path(batch).stat().st_mtime, len(items)))
        else:
            claimed += shards.claim(batch).exists()
    rate = _rate(times) if claimed else None
    left = shards.plan.items - sum(n for _, n in times)
    return Status(
        items=shards.plan.items,
        batches=len(shards.plan.batches),
        done=codes[0],
        failed={REASONS.get(c, f"exit {c}"): n for c, n in sorted(codes.items()) if c != 0},
        batches_done=len(times),
        claimed=claimed,
        rate=rate,
        seconds_left=left / rate if rate else None,
    )


def _rate(times: list[tuple[float, int]]) -> float | None:
    """Over the latest hundred shards, up to now."""
    recent = sorted(times)[-100:]
    span = time.time() - recent[0][0] if recent else 0.0
    return sum(n for _, n in recent[1:]) / span if span > 0 and len(recent) > 1 else None
