"""A worker: takes batches that nobody has, computes them, writes their shards."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from mdsens.errors import Interrupted
from mdsens.io.results import versions
from mdsens.sweeps.claims import claimed, owner
from mdsens.sweeps.compute import compute
from mdsens.sweeps.items import Items
from mdsens.sweeps.outcomes import Outcome, columns_of
from mdsens.sweeps.shards import Shards

Progress = Callable[[str, float, float | None, str], None]
# Seconds between two looks at what others are at.
_PATIENCE = 2.0


@dataclass(frozen=True)
class Share:
    """Batches task, task + ntasks, ... are a worker's own."""

    task: int = 0
    ntasks: int = 1

    def owns(self, batch: int) -> bool:
        return batch % self.ntasks == self.task

    def order(self, count: int) -> list[int]:
        """All batches, its own first."""
        return sorted(range(count), key=lambda batch: (batch - self.task) % self.ntasks)


@dataclass
class Done:
    """What a worker has done so far."""

    batches: int = 0
    items: int = 0
    failed: int = 0
    longest: float = 0.0
    begun: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def add(self, outcomes: list[Outcome], seconds: float) -> None:
        self.batches += 1
        self.items += len(outcomes)
        self.failed += sum(o.code != 0 for o in outcomes)
        self.longest = max(self.longest, seconds)


def work(
    shards: Shards,
    items: Items,
    share: Share,
    time_limit: float | None = None,
    redo: frozenset[int] | None = None,
    progress: Progress | None = None,
) -> Done:
    """Do one's own batches and then those that others have left.

    A batch that somebody else is at is left to them; a worker waits for those of its own share, so
    that its share is done when it returns.

    Args:
        time_limit: in seconds; no batch is begun that would not end in time.
        redo: finished batches to compute again, of the own share, and nothing else.

    Raises:
        Interrupted: the time is up, or SIGUSR1 has come; the batch in hand was finished.
        OutputError: a shard cannot be written; the others are as they were.
        InputError: the shards or files are not the plan's.
    """
    done = Done()
    count = len(shards.plan.batches)
    todo = share.order(count) if redo is None else sorted(filter(share.owns, redo))
    again = redo is not None
    with _request_to_stop() as requested:

        def check() -> None:
            up = time_limit is not None and done.seconds + done.longest > time_limit
            if up or requested():
                why = "the time is up" if up else "asked to stop"
                raise Interrupted(f"{shards.folder}: {why}; run it again to go on")

        while todo:
            left = []
            for batch in todo:
                if not _settled(shards, items, batch, share.owns(batch), again, done, check):
                    left.append(batch)
                if progress:
                    progress("sweep", done.batches, count, f"{done.failed} items failed")
            todo = [batch for batch in left if share.owns(batch)]
            if todo:
                check()
                time.sleep(_PATIENCE)
    return done


def _settled(
    shards: Shards,
    items: Items,
    batch: int,
    own: bool,
    again: bool,
    done: Done,
    check: Callable[[], None],
) -> bool:
    """Whether a batch is finished, by us or by others; false if others are at it."""

    def finished() -> bool:
        return not again and shards.is_done(batch, thorough=own)

    if finished():
        return True
    with claimed(shards.claim(batch)) as ours:
        if not ours or finished():
            return ours
        check()
        start = time.monotonic()
        outcomes = compute(items, shards.plan.batches[batch])
        columns = columns_of(shards.plan.batches[batch], outcomes)
        shards.write(batch, columns, _provenance(outcomes))
        done.add(outcomes, time.monotonic() - start)
    return True


def _provenance(outcomes: list[Outcome]) -> dict[str, Any]:
    host, _, task = owner().split()
    devices = {o.result.provenance["device"]: None for o in outcomes if o.result}
    return {
        "host": host,
        "task": task,
        "device": ", ".join(devices),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **{f"version_{name.replace('-', '_')}": number for name, number in versions().items()},
    }


@contextmanager
def _request_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether SIGUSR1 has come, which engines send some time before they kill."""
    come: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        come.append(number)

    before = signal.signal(signal.SIGUSR1, note)
    try:
        yield lambda: bool(come)
    finally:
        signal.signal(signal.SIGUSR1, before)
