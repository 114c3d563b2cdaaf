"""Derivatives of relaxed states, certified."""

from mdsens.derivatives.sensitivity import sensitivity
from mdsens.derivatives.verify import verify

__all__ = ["sensitivity", "verify"]
