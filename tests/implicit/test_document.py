"""docs/implicit.md runs, and the derivatives in it are right."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser


def difference(f, x, t=1e-5):
    return (f(x + t) - f(x - t)) / (2 * t)


def test_the_document_and_its_mappings(repository: Path):
    document = Sybil(parsers=[PythonCodeBlockParser()]).parse(repository / "docs" / "implicit.md")
    for example in document.examples():
        example.evaluate()
    names = document.namespace
    slope = difference(lambda t: names["fit"](None, t), 0.1)
    np.testing.assert_allclose(names["slope"], slope, rtol=1e-8)
    at = jnp.array([-3.0, -2.0])
    expected = [difference(lambda t, e=e: names["validation"](at + t * e), 0.0) for e in jnp.eye(2)]
    np.testing.assert_allclose(names["gradient"], expected, rtol=1e-8)
    slope = difference(jax.jit(names["weights"]), -1.0)
    np.testing.assert_allclose(names["sensitivity"], slope, rtol=1e-7)
    alpha = names["solve_dual"](jnp.zeros(4), jnp.exp(-1.0))
    assert 0 < np.sum(np.asarray(alpha) == 0) < 4  # a constraint that binds, and one that does not
