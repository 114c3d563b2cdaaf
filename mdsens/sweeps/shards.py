"""The shards of a plan: one file per batch, which is there whole or not at all.

<folder>/plan            the digest of the plan that the folder belongs to
<folder>/000042.h5       the shard of batch 42
<folder>/000042.claim    somebody is at it; see `mdsens.sweeps.claims`
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdsens.errors import InputError, OutputError
from mdsens.files.atomic import write_bytes
from mdsens.io.columns import Column, ColumnFile, opened_columns, write_columns
from mdsens.io.hdf5 import Refused, read_note
from mdsens.sweeps.plan import Plan

FORMAT = "mdsens shard"
FORMAT_VERSION = 1
# Nobody writes one shard for so long.
_ABANDONED_SECONDS = 3600.0


@dataclass(frozen=True)
class Shards:
    """The shards of a plan in a folder."""

    plan: Plan
    folder: Path

    def adopt(self) -> None:
        """Make the folder this plan's.

        Raises:
            InputError: it is another plan's.
            OutputError: it cannot be written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder}: shards: {error.strerror}; choose another") from error
        if not self._mark.exists():
            write_bytes(self._mark, self.plan.hash.encode())
        self.check()
        self._sweep_out()

    def _sweep_out(self) -> None:
        """Remove what processes that were killed had begun to write."""
        for path in self.folder.glob(".*.h5.*.tmp"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                    path.unlink()

    def check(self) -> None:
        """Raise InputError if the folder is another plan's."""
        if self._mark.exists() and self._mark.read_bytes()[:100] != self.plan.hash.encode():
            raise InputError(
                f"{self.folder}: shards: of another plan; name that plan, or another folder"
            )

    def path(self, batch: int) -> Path:
        return self.folder / f"{batch:06d}.h5"

    def claim(self, batch: int) -> Path:
        return self.folder / f"{batch:06d}.claim"

    def is_done(self, batch: int, thorough: bool = True) -> bool:
        """Whether the shard is there: as its end says, or looked at thoroughly.

        Raises:
            InputError: it is another plan's.
        """
        note = self.note(batch)
        if note is None:
            return False
        if (note.get("plan"), note.get("batch")) != (self.plan.hash, batch):
            return self._refused(batch)
        return not thorough or self._is_sound(batch)

    def _refused(self, batch: int) -> bool:
        """False if a shard that is not ours is damaged: it may have been ours."""
        path = self.path(batch)
        try:
            with opened_columns(path, "shard"):
                pass
        except OutputError:
            return False
        raise InputError(f"{path}: shard: of another plan; name that plan, or another folder")

    def _is_sound(self, batch: int) -> bool:
        try:
            with self.opened(batch) as file:
                file.forms(len(self.plan.batches[batch]))
        except (InputError, OutputError):
            return False
        return True

    def note(self, batch: int) -> dict[str, Any] | None:
        """What a shard says of itself at its end: plan, batch, and how many items have which exit
        code ("codes"); None if there is none that does."""
        try:
            told = json.loads(read_note(self.path(batch)) or "")
            codes = {str(int(code)): int(count) for code, count in told["codes"].items()}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        return {**told, "codes": codes}

    def failed_batches(self, only_internal: bool) -> frozenset[int]:
        """Finished batches with items that failed, whyever or for reasons not their own."""
        telling = (lambda code: code == "1") if only_internal else (lambda code: code != "0")
        notes = ((batch, self.note(batch)) for batch in range(len(self.plan.batches)))
        return frozenset(k for k, note in notes if note and any(map(telling, note["codes"])))

    def write(
        self, batch: int, columns: Mapping[str, Column], provenance: Mapping[str, Any]
    ) -> None:
        """Write a shard.

        Raises:
            OutputError: missing or unwritable folder, full disk.
        """
        codes, counts = np.unique(columns["items/exit_code"].values, return_counts=True)
        note = {
            "plan": self.plan.hash,
            "batch": batch,
            "codes": dict(zip(map(str, codes.tolist()), counts.tolist(), strict=True)),
        }
        attributes = {**self._identity(batch), "provenance": json.dumps(provenance)}
        write_columns(self.path(batch), columns, attributes, json.dumps(note))

    @contextmanager
    def opened(self, batch: int) -> Iterator[ColumnFile]:
        """The shard of a batch of this plan, which holds its items.

        Raises:
            InputError: there is none.
            OutputError: it is damaged, hostile, or another's.
        """
        path = self.path(batch)
        with opened_columns(path, "shard") as file:
            expected = self._identity(batch)
            if {name: file.attributes.get(name) for name in expected} != expected:
                raise Refused(f"shard: is not batch {batch} of this plan; run it again")
            yield file

    def _identity(self, batch: int) -> dict[str, Any]:
        items = self.plan.batches[batch].astype("<i8").tobytes()
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "plan": self.plan.hash,
            "batch": batch,
            "items_sha256": hashlib.sha256(items).hexdigest(),
        }

    @property
    def _mark(self) -> Path:
        return self.folder / "plan"
