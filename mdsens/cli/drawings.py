"""`mdsens plot` and `mdsens report`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mdsens.errors import InputError


class What(StrEnum):
    """Which figure of a result."""

    overview = "overview"
    particles = "particles"
    tornado = "tornado"
    elastic = "elastic"
    average = "average"


def plot(
    out_h5: Annotated[Path, typer.Argument(metavar="OUT.h5", help="A result, fit or sweep.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FIG.png", help="PNG, SVG or PDF. Default: <stem>.png, here."
        ),
    ] = None,
    what: Annotated[What, typer.Option("--what", help="Which figure of a result.")] = What.overview,
) -> None:
    """Draw what is in a file.

    Of a result the particles coloured by their sensitivity, relative sensitivities as bars, and the
    elastic tensor if there is one; of a fit the data, properties and convergence; of a merged sweep how
    observables are distributed.
    """
    from mdsens.files import atomic

    target = output or Path(f"{out_h5.stem}.png")
    atomic.check_writable(target)
    with _drawing("plot"):
        content = _figure(out_h5, target.suffix, what.value)
    atomic.write_bytes(target, content)
    typer.echo(f"written to {target}")


def report(
    out_h5: Annotated[Path, typer.Argument(metavar="OUT.h5", help="A result, fit or sweep.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PAGE.html", help="Default: <stem>.html, here."),
    ] = None,
) -> None:
    """Write one HTML page about a file.

    Figures, tables, the certificate in words, provenance, and how to do it again. The page holds all it
    needs: no network, no scripts.
    """
    from mdsens.files import atomic

    target = output or Path(f"{out_h5.stem}.html")
    atomic.check_writable(target)
    with _drawing("report"):
        content = _page(out_h5)
    atomic.write_bytes(target, content)
    typer.echo(f"written to {target}")


def write_verification(rows: list, target: Path) -> None:
    """The figure of `verify`."""
    from mdsens.files import atomic

    with _drawing("verify"):
        from mdsens.report.style import rendered
        from mdsens.report.verification import draw_verification

        content = rendered(draw_verification(rows), target.suffix)
    atomic.write_bytes(target, content)
    typer.echo(f"written to {target}")


@contextmanager
def _drawing(command: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(
            f"{command}: {error.name} is not installed; pip install 'mdsens[plot]'"
        ) from error


def _figure(path: Path, suffix: str, what: str) -> bytes:
    from mdsens.io import fits, results, sweeps
    from mdsens.io.hdf5 import format_of
    from mdsens.report.figures import image
    from mdsens.report.fit_figures import fit_image
    from mdsens.report.sweep_figures import sweep_image

    found = format_of(path)
    if found == fits.FORMAT:
        return fit_image(fits.read_fit(path), suffix)
    if found == sweeps.FORMAT:
        return sweep_image(sweeps.read_sweep(path), suffix)
    return image(results.read_result(path), suffix, what)


def _page(path: Path) -> bytes:
    from mdsens.io import fits, results, sweeps
    from mdsens.io.hdf5 import format_of
    from mdsens.report import page

    found = format_of(path)
    if found == fits.FORMAT:
        return page.html(page.of_fit(fits.read_fit(path)))
    if found == sweeps.FORMAT:
        return page.html(page.of_sweep(sweeps.read_sweep(path)))
    return page.html(page.of_result(results.read_result(path)))
