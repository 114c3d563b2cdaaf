"""Derivatives of relaxed states, certified."""

from mdsens.derivatives.prediction import Prediction, predict
from mdsens.derivatives.sensitivity import sensitivity
from mdsens.derivatives.verify import verify

__all__ = ["Prediction", "predict", "sensitivity", "verify"]
