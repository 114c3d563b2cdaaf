"""Evaluations of a fit on disk: one file each, whole or not there, and read with suspicion.

A fit that is run again goes the same way over them, bit by bit, and on where they end.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from mdsens.errors import InputError, OutputError
from mdsens.files.atomic import write_bytes
from mdsens.fitting import Evaluation

_IDENTITY = "fit.json"


class Checkpoint:
    """A folder of evaluations of one fit.

    Raises:
        InputError: the folder belongs to another fit.
        OutputError: a file has its name.
    """

    def __init__(self, folder: Path, identity: str, targets: int):
        self._folder, self._identity, self._targets = folder, identity, targets
        self._counts: dict[int, int] = {}
        if folder.exists() and not folder.is_dir():
            raise OutputError(
                f"{folder}: output: evaluations are kept in a folder of this name; remove the file"
            )
        if any(_kept(folder)) and self._known() != identity:
            raise InputError(
                f"{folder}: evaluations of another fit, or of this one before its files changed; "
                "use --restart to remove them"
            )

    def history(self) -> Mapping[int, Sequence[Evaluation]]:
        """All evaluations by number of the start, as far as they are whole."""
        found: dict[int, list[Evaluation]] = {}
        for path in sorted(_kept(self._folder)):
            start, number = map(int, path.stem.split("-"))
            rows = found.setdefault(start, [])
            evaluation = _read(path, self._targets) if number == len(rows) else None
            if evaluation is not None:
                rows.append(evaluation)
        self._counts = {start: len(rows) for start, rows in found.items()}
        return found

    def record(self, start: int, evaluation: Evaluation) -> None:
        """Keep a new evaluation."""
        if self._known() != self._identity:
            self._folder.mkdir(exist_ok=True)
            write_bytes(self._folder / _IDENTITY, json.dumps({"identity": self._identity}).encode())
        number = self._counts.get(start, 0)
        write_bytes(self._folder / f"{start:04}-{number:05}.npz", _bytes(evaluation))
        self._counts[start] = number + 1

    def _known(self) -> str | None:
        try:
            return json.loads((self._folder / _IDENTITY).read_text())["identity"]
        except (OSError, ValueError, KeyError, TypeError):
            return None


def remove(folder: Path) -> None:
    """The end of a checkpoint; what somebody else keeps in the folder stays."""
    with suppress(OSError):
        for path in (*_kept(folder), folder / _IDENTITY):
            path.unlink(missing_ok=True)
        folder.rmdir()


def _kept(folder: Path) -> list[Path]:
    return [p for p in folder.glob("*.npz") if re.fullmatch(r"\d{4,}-\d{5,}", p.stem)]


def _bytes(e: Evaluation) -> bytes:
    memories: dict[str, Any] = {
        f"memory-{k}-{i}": x for k, memory in enumerate(e.memories) for i, x in enumerate(memory)
    }
    stream = BytesIO()
    np.savez(
        stream, u=e.u, residuals=e.residuals, loss=e.loss, gradient=e.gradient,
        **({} if e.jacobian is None else {"jacobian": e.jacobian}),
        failures=np.array(json.dumps(dict(e.failures))), **memories,
    )  # fmt: skip
    return stream.getvalue()


def _read(path: Path, targets: int) -> Evaluation | None:
    """What a file says; None where it is damaged, so that it is computed again."""
    try:
        with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as file:
            memories = []
            for k in range(targets):
                count = sum(name.startswith(f"memory-{k}-") for name in file.files)
                memories.append(tuple(file[f"memory-{k}-{i}"] for i in range(count)))
            return Evaluation(
                file["u"], file["residuals"], float(file["loss"]), file["gradient"],
                file["jacobian"] if "jacobian" in file.files else None,
                json.loads(str(file["failures"])), tuple(memories),
            )  # fmt: skip
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
