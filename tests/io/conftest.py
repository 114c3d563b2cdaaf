"""Errors are sentences: where, what, what to do."""

from __future__ import annotations

import pytest

from mdsens.errors import MdsensError


@pytest.fixture
def told():
    """`told(error, call)`: the one line with which a call fails."""

    def sentence(error: type[MdsensError], call) -> str:
        with pytest.raises(error) as caught:
            call()
        line = str(caught.value)
        assert "\n" not in line
        return line

    return sentence
