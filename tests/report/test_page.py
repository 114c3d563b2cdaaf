"""Pages: complete, self-contained, and safe to open whatever a file says."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from mdsens.io.sweeps import read_sweep
from mdsens.report import page
from mdsens.report.sweep_figures import draw_sweep
from mdsens.sweeps.merge import merge
from tests.io import handmade
from tests.sweeps.conftest import fake, planned, shards, work  # noqa: F401

VOID = {"meta", "img"}


class Seen(HTMLParser):
    """Tags, what they refer to, and the text; every tag is closed in its order."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href", "action", "srcset") and v]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_of_a_result():
    result = handmade.result()
    result = replace(result, provenance={**result.provenance, "run_toml": handmade.RUN_TOML})
    seen = Seen(page.html(page.of_result(result)).decode())
    assert seen.tags.count("img") == 2
    assert all(link.startswith("data:image/png;base64,") for link in seen.links)
    assert "script" not in seen.tags
    for words in (
        "16 particles in 2D, soft_sphere", "stable minimum", "d pressure / d alpha", "epsilon",
        'structure = "discs.extxyz"', "mdsens verify run.toml", "It is a minimum", "12 digits",
        "1 rattlers",
    ):  # fmt: skip
        assert words in seen.text


def test_what_a_file_says_is_text():
    evil = "<script>alert(1)</script>"
    result = handmade.result()
    hostile = replace(
        result,
        potential=evil,
        system=replace(result.system, source=evil),
        provenance={"device": evil, "run_toml": evil},
        certificate=handmade.certificate(outcome=evil, solver=evil),
    )
    seen = Seen(page.html(page.of_result(hostile)).decode())
    assert "script" not in seen.tags
    assert seen.text.count(evil) >= 5


def test_no_derivatives_is_said():
    why = "relax: not converged"
    failed = replace(
        handmade.result(),
        sensitivity={},
        certificate=handmade.certificate(converged=False, outcome=why),
    )
    text = page.html(page.of_result(failed)).decode()
    assert 'class="verdict bad"' in text and "did not come to rest" in text
    saddle = replace(failed, certificate=handmade.certificate(negative_modes=2, lambda_min=-0.1))
    text = page.html(page.of_result(saddle)).decode()
    assert 'class="verdict bad"' in text and "It is no minimum" in text


@pytest.mark.usefixtures("fake")
def test_of_a_sweep(shards, work, tmp_path):  # noqa: F811
    work(shards)
    merge(shards, tmp_path / "sweep.h5")
    record = read_sweep(tmp_path / "sweep.h5")
    assert record.along(0, "potential.parameters.epsilon").tolist() == [
        v for v in (1.0, 1.25, 1.5, 1.75, 2.0) for _ in range(2)
    ]
    assert record.exit_codes.tolist() == [0, 0, 0, 3, 0, 0, 0, 0, 0, 0]
    field = handmade.result(4).sensitivity["pressure"]["diameter"].value
    norms = record.derivatives["|d pressure / d diameter|"].values
    assert np.isclose(norms[4], np.linalg.norm(field)) and np.isnan(norms[3])
    assert len(draw_sweep(record)) == 3
    seen = Seen(page.html(page.of_sweep(record)).decode())
    assert seen.tags.count("img") == 3
    for words in ("9 of 10 runs succeeded", "relax: not converged", "d pressure / d alpha"):
        assert words in seen.text
