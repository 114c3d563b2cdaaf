"""Fitting potentials to what they are judged by, with implicit derivatives and error bars."""

from mdsens.fitting.averages import Averaged, averages, mean_curve, mean_reading
from mdsens.fitting.fit import Fit, Run, Step, fit
from mdsens.fitting.labelled import Labelled, Labels
from mdsens.fitting.losses import LOSSES
from mdsens.fitting.measured import Measured
from mdsens.fitting.optimizers import OPTIMIZERS, Descent
from mdsens.fitting.posterior import Posterior, posterior, sampled
from mdsens.fitting.problem import MANY, Evaluation, Problem
from mdsens.fitting.profile import profile
from mdsens.fitting.properties import barrier, crystal, defect, surface
from mdsens.fitting.readings import Reading, reading
from mdsens.fitting.space import Free, Space, Tied, space
from mdsens.fitting.targets import ENERGY_SHIFT, Outcome, Target, rows_of
from mdsens.fitting.wanted import Properties, Wanted

__all__ = [
    "ENERGY_SHIFT",
    "LOSSES",
    "MANY",
    "OPTIMIZERS",
    "Averaged",
    "Descent",
    "Evaluation",
    "Fit",
    "Free",
    "Labelled",
    "Labels",
    "Measured",
    "Outcome",
    "Posterior",
    "Problem",
    "Properties",
    "Reading",
    "Run",
    "Space",
    "Step",
    "Target",
    "Tied",
    "Wanted",
    "averages",
    "barrier",
    "crystal",
    "defect",
    "fit",
    "mean_curve",
    "mean_reading",
    "posterior",
    "profile",
    "reading",
    "rows_of",
    "sampled",
    "space",
    "surface",
]
