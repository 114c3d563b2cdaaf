"""The command line. Only what `--help` needs is imported here; commands import what they use."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Any, NoReturn

from mdsens.cli.commands import app
from mdsens.cli.progress import silence
from mdsens.errors import MdsensError
from mdsens.files import atomic

TRACEBACK = ("-T", "--traceback")
QUIET = ("-q", "--quiet")
INTERRUPTED = "interrupted; run it again"


class _Interrupted(BaseException):
    """SIGINT or SIGTERM in a process that goes on after this command."""

    def __init__(self, number: int):
        super().__init__(number)
        self.exit_code = 128 + number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code.

    Every failure is one line on stderr, `mdsens: error: FILE: where: what; what to do`; with `-T`
    anywhere among the arguments it raises instead, with `-q` nothing else is printed.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = given[: given.index("--")] if "--" in given else given
    traceback = any(a in TRACEBACK for a in options)
    heard = silence() if any(a in QUIET for a in options) else nullcontext()
    with _signals(_leave if arguments is None else _interrupt), _one_line_warnings(), heard:
        try:
            return _invoke([a for a in given if a not in TRACEBACK + QUIET] or ["--help"])
        except _Interrupted as interruption:
            return _fail(INTERRUPTED, interruption.exit_code)
        except BrokenPipeError:
            # Whoever read our output has gone; nothing to tell, and nobody to tell it to.
            sys.stdout = None
            return 128 + signal.SIGPIPE
        except Exception as error:
            if traceback:
                raise
            return _fail(*_told(error))


def _invoke(arguments: list[str]) -> int:
    code = app(args=arguments, prog_name="mdsens", standalone_mode=False)
    sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _told(error: Exception) -> tuple[str, int]:
    """The sentence and the exit code of an exception."""
    if isinstance(error, MdsensError):
        return str(error), error.exit_code
    if hasattr(error, "format_message"):
        return _usage(error), 2
    sentence = f"internal: {type(error).__name__}: {error}; run again with -T and report it"
    return sentence, 1


def _usage(error: Any) -> str:
    """The sentence of one of typer's own exceptions, about options and arguments."""
    command = getattr(getattr(error, "ctx", None), "command_path", "mdsens")
    what = error.format_message().rstrip(".").replace("Value error, ", "")
    return f"{command.removeprefix('mdsens ')}: {what}; see `{command} --help`"


def _fail(sentence: str, code: int) -> int:
    print(f"mdsens: error: {_one_line(sentence)}", file=sys.stderr)
    return code


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise _Interrupted(number)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """End the process here and now, without traces.

    An exception would not do: callbacks and imports under way swallow it, and XLA, torn out of a
    compilation, may crash where the interpreter takes it down in order.
    """
    atomic.discard_temporaries()
    cursor = "\r\x1b[2K\x1b[?25h" if sys.stderr.isatty() else ""  # as before the progress bars
    os.write(2, f"{cursor}mdsens: error: {INTERRUPTED}\n".encode())
    os._exit(128 + number)


@contextmanager
def _signals(interrupt: Callable[[int, FrameType | None], NoReturn]) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # as under nohup
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"mdsens: warning: {_one_line(str(message))}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
