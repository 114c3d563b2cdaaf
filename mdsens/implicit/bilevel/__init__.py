"""Bi-level problems: minimise L(x*(theta), theta) over theta, where F(x*(theta), theta) = 0."""

from mdsens.implicit.bilevel.hypergradient import Hypergradient, hypergradient
from mdsens.implicit.bilevel.outer import bilevel
from mdsens.implicit.bilevel.state import BilevelRecord, BilevelResult, BilevelState
from mdsens.implicit.bilevel.warm import WarmImplicit

__all__ = [
    "BilevelRecord",
    "BilevelResult",
    "BilevelState",
    "Hypergradient",
    "WarmImplicit",
    "bilevel",
    "hypergradient",
]
