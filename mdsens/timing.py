"""Wall time without compilation: JAX reports what it spends on tracing and compiling."""

from __future__ import annotations

import time

import jax

_COMPILE_EVENTS = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)
_spent = 0.0


def _listen(event: str, duration_secs: float, **_: str | int) -> None:
    global _spent
    if event in _COMPILE_EVENTS:
        _spent += duration_secs


jax.monitoring.register_event_duration_secs_listener(_listen)


class Clock:
    """Seconds since its creation, split into compilation and the rest."""

    def __init__(self) -> None:
        self._start, self._compiled = time.perf_counter(), _spent

    @property
    def total(self) -> float:
        return time.perf_counter() - self._start

    @property
    def compiling(self) -> float:
        """Never more than the total: nested traces are reported once each."""
        return min(_spent - self._compiled, self.total)

    @property
    def working(self) -> float:
        return self.total - self.compiling
