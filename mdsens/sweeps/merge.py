"""All shards of a plan in one file. No JAX."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from mdsens.errors import InputError, OutputError
from mdsens.io.columns import Form, column, joined
from mdsens.io.grid import Grid, written_grid
from mdsens.io.hdf5 import Refused, write_array
from mdsens.io.results import versions
from mdsens.io.sweeps import FORMAT
from mdsens.sweeps.shards import Shards

FORMAT_VERSION = 1
_BATCH = "provenance/batch"


@dataclass(frozen=True)
class Merged:
    """What a merge found: why batches are missing, by number, and how many items that is."""

    missing: dict[int, str]
    missing_items: int


def merge(shards: Shards, output: Path, partial: bool = False) -> Merged:
    """Put all shards into one file, one at a time; each is checked before it is believed.

    Args:
        partial: leave missing items out (their exit code is -1, their numbers are NaN).

    Raises:
        OutputError: items are missing, or the file cannot be written.
    """
    shards.check()
    forms, missing = _survey(shards)
    lost = sum(len(shards.plan.batches[k]) for k in missing)
    if missing and (not partial or not forms):
        raise OutputError(
            f"{shards.folder}: {_told(missing, lost)}; `mdsens sweep run` computes them"
        )
    axes = [{a.key: a.values for a in axes} for axes in shards.plan.dimensions]
    forms[_BATCH] = Form(np.dtype(np.int64), ())
    with written_grid(output, axes, forms) as grid:
        told = [""] * len(shards.plan.batches)
        for batch, items in enumerate(shards.plan.batches):
            if batch not in missing:
                told[batch] = _copy(shards, batch, grid, forms)
                grid.put(_BATCH, items, np.full(len(items), batch))
        _write_root(shards, grid, told)
    return Merged(missing, lost)


def _survey(shards: Shards) -> tuple[dict[str, Form], dict[int, str]]:
    """The columns with room for all, and which batches are missing, and why."""
    seen: dict[str, dict[Form, None]] = {}
    missing: dict[int, str] = {}
    for batch, items in enumerate(shards.plan.batches):
        try:
            with shards.opened(batch) as file:
                found = file.forms(len(items))
        except (InputError, OutputError) as error:
            missing[batch] = str(error)
            continue
        for name, form in found.items():
            seen.setdefault(name, {})[form] = None
    try:
        return {name: joined(list(forms)) for name, forms in seen.items()}, missing
    except Refused as refusal:
        raise OutputError(f"{shards.folder}: {refusal}") from None


def _copy(shards: Shards, batch: int, grid: Grid, forms: dict[str, Form]) -> str:
    items = shards.plan.batches[batch]
    with shards.opened(batch) as file:
        for name, form in file.forms(len(items)).items():
            if name not in forms or joined([forms[name], form]) != forms[name]:
                raise Refused(f"/{name}: has changed meanwhile; merge again")
        for part, rows in file.blocks():
            for name in rows.dtype.names or ():
                grid.put(name, items[part], rows[name])
        return str(file.attributes["provenance"])


def _write_root(shards: Shards, grid: Grid, told: list[str]) -> None:
    plan, file = shards.plan, grid.file
    file.attrs["format"] = FORMAT
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs["creator"] = f"mdsens {versions()['mdsens']}"
    file.attrs["created"] = datetime.now(UTC).isoformat(timespec="seconds")
    file.attrs["plan"] = plan.hash
    provenance = file.require_group("provenance")
    provenance.create_dataset("run_toml", data=plan.base_text)
    files = {f.name: f"sha256:{f.sha256}" for f in plan.files}
    provenance.create_dataset("files", data=json.dumps(files))
    write_array(provenance, "workers", column(told).values)


def _told(missing: dict[int, str], items: int) -> str:
    few = ", ".join(map(str, list(missing)[:10])) + (", ..." if len(missing) > 10 else "")
    return f"{items} items missing, in batch{'es' if len(missing) > 1 else ''} {few}"
