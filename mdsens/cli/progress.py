"""Progress bars, on a terminal only, and silence."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar

Report = Callable[[str, float, float | None, str], None]

_SILENT: ContextVar[bool] = ContextVar("_SILENT", default=False)


@contextmanager
def silence() -> Iterator[None]:
    """Neither output nor progress; errors and warnings are heard."""
    token = _SILENT.set(True)
    try:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            yield
    finally:
        _SILENT.reset(token)


@contextmanager
def progress_bars() -> Iterator[Report | None]:
    """A function `report(stage, done, total, text)` that draws; None where nobody watches."""
    if _SILENT.get() or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}
        # JAX is loaded and the first programs are compiled before anything can be reported.
        beginning = bars.add_task("start", total=None, note="loading and compiling")

        def report(stage: str, done: float, total: float | None, text: str) -> None:
            bars.update(beginning, visible=False)
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, note="")
            bars.update(tasks[stage], completed=done, total=total, note=text)

        yield report
