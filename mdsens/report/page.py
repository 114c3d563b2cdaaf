"""One self-contained HTML page: figures, tables, the certificate in words, how to do it again.

Nothing is loaded from elsewhere, and there is no script in it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from mdsens.fit_record import FitRecord
from mdsens.report.figures import average, elastic, particles, tornado
from mdsens.report.fit_figures import draw_fit
from mdsens.report.style import rendered
from mdsens.report.sweep_figures import draw_sweep
from mdsens.report.tensors import tensor_name
from mdsens.result import EnsembleCertificate, Result
from mdsens.sweep_record import SweepRecord
from mdsens.words import certificates, fits, results, sweeps
from mdsens.words.listing import Listing

WIDE = 10.0  # inches


@dataclass(frozen=True)
class Picture:
    """A figure in the page.

    Attributes:
        title: its caption.
        data: the PNG, base64.
        wide: it needs the width of the page.
    """

    title: str
    data: str
    wide: bool


@dataclass(frozen=True)
class Page:
    """What the template shows.

    Attributes:
        title: of what was computed.
        verdict: one sentence.
        trusted: whether numbers can be used.
        summary: what was done, in sentences.
        pictures: in their order.
        listings: title and table.
        explained: the certificate in words.
        input_name, input_text: of the TOML that led here; empty where it is unknown.
        commands: that do it again.
        provenance: names and what they were.
    """

    title: str
    verdict: str
    trusted: bool
    summary: str
    pictures: tuple[Picture, ...]
    listings: tuple[tuple[str, Listing], ...]
    explained: tuple[str, ...]
    input_name: str
    input_text: str
    commands: tuple[str, ...]
    provenance: tuple[tuple[str, str], ...]


def html(page: Page) -> bytes:
    """The page as the content of a file."""
    environment = Environment(
        loader=PackageLoader("mdsens.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html").render(page=page).encode()


def of_result(result: Result) -> Page:
    """The page of a result."""
    c = result.certificate
    system = result.system
    names = ", ".join(result.observables)
    by = ", ".join(dict.fromkeys(n for d in result.sensitivity.values() for n in d))
    sampled = isinstance(c, EnsembleCertificate)
    done = "Sampled" if sampled else "Relaxed"
    # What was sampled has nothing to relax again.
    commands = ("check", "run") if sampled else ("check", "run", "verify")
    trusted = bool(c.converged) and not getattr(c, "negative_modes", 0)
    return Page(
        title=f"{system.n_particles} particles in {system.dimension}D, {result.potential}",
        verdict=c.outcome,
        trusted=trusted,
        summary=f"{done}; measured {names or 'nothing'}; differentiated by {by or 'nothing'}.",
        pictures=tuple(_pictures(result)),
        listings=(
            ("Input", results.inputs(system, result.potential, result.parameters)),
            ("Observables", results.observables(result)),
            ("Derivatives", results.derivatives(result)),
        ),
        explained=tuple(certificates.explained(result)),
        commands=tuple(f"mdsens {command} run.toml" for command in commands),
        **_origin("run.toml", result.provenance, "run_toml"),
    )


def of_fit(record: FitRecord) -> Page:
    """The page of the record of a fit."""
    stopped = record.facts["why"]
    return Page(
        title=f"{record.potential} fitted",
        verdict=fits.end(record),
        trusted=not stopped and not record.facts["failed"],
        summary=f"{len(record.labels)} free parameters, {len(record.targets)} targets.",
        pictures=(_picture("Data, properties, convergence", draw_fit(record)),),
        listings=(
            ("Parameters", fits.parameters(record)),
            ("Properties", fits.properties(record)),
            ("Data", fits.data(record)),
        ),
        explained=fits.EXPLAINED,
        commands=("mdsens fit fit.toml",),
        **_origin("fit.toml", record.provenance, "fit_toml"),
    )


def of_sweep(record: SweepRecord) -> Page:
    """The page of a merged sweep."""
    failed = sum(record.exit_codes != 0)
    return Page(
        title=f"Sweep of {len(record.exit_codes)} runs",
        verdict=f"{len(record.exit_codes) - failed} of {len(record.exit_codes)} runs succeeded",
        trusted=failed == 0,
        summary=f"Axes: {', '.join(sweeps.axis(a) for a in record.axes)}.",
        pictures=tuple(_picture(title, figure) for title, figure in draw_sweep(record)),
        listings=(
            ("Observables", sweeps.numbers(record.observables)),
            ("Derivatives", sweeps.numbers(record.derivatives)),
            ("Runs that failed", sweeps.failures(record)),
        ),
        explained=sweeps.EXPLAINED,
        commands=(
            "mdsens sweep plan sweep.toml",
            "mdsens sweep run sweep.plan",
            "mdsens sweep merge sweep.plan",
        ),
        **_origin("run.toml", record.provenance, "run_toml"),
    )


def _pictures(result: Result) -> list[Picture]:
    found = [_picture("Particles", particles(result))]
    if result.sensitivity:
        found.append(_picture("What matters for what", tornado(result)))
    if tensor_name(result) is not None:
        found.append(_picture("Elasticity", elastic(result)))
    if result.observable_along:
        found.append(_picture("Correlations", average(result)))
    return found


def _picture(title: str, figure: Figure) -> Picture:
    figure.suptitle("")  # the page says it
    data = base64.b64encode(rendered(figure, ".png")).decode()
    return Picture(title, data, figure.get_figwidth() > WIDE)


def _origin(name: str, provenance: Mapping[str, Any], key: str) -> dict[str, Any]:
    text = str(provenance.get(key, ""))
    changed = str(provenance.get("overrides", ""))
    if changed:
        text += "\n# changed by --set:\n" + "".join(f"# {line}\n" for line in changed.splitlines())
    told = [
        (k.replace("_", " "), f"{v:.6g}" if isinstance(v, float) else str(v))
        for k, v in provenance.items()
        if k not in (key, "overrides") and not isinstance(v, (dict, list)) and str(v)
    ]
    return {"input_name": name, "input_text": text, "provenance": tuple(told)}
