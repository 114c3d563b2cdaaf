"""Every failure mdsens reports, with the exit code it has at the command line.

An error is one sentence that says where, what, and what to do about it.
"""

from __future__ import annotations


class MdsensError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command line returns."""

    exit_code = 2


class InputError(MdsensError, ValueError):
    """The input (structure, parameter, option, argument) is wrong."""

    exit_code = 2


class Float32Error(InputError):
    """64-bit floats are off; derivatives through a Hessian need them."""


class _WithResult(MdsensError):
    """An error that carries what is known all the same: a Minimum or a Result."""

    def __init__(self, message: str, result: object = None):
        super().__init__(message)
        self.result = result


class NotConverged(_WithResult):
    """The relaxation did not reach its tolerance; `result` holds the last state."""

    exit_code = 3


class DerivativeUndefined(_WithResult):
    """A saddle, unexplained zero modes, or a linear solve that missed its tolerance."""

    exit_code = 4


class OutputError(MdsensError, OSError):
    """A file could not be written or read back (missing folder, full disk, damaged file)."""

    exit_code = 5


class Interrupted(MdsensError):
    """Work was left undone because somebody said so, or the time was up; it can be taken up again."""

    exit_code = 143
