"""Make .venv hold this package and one of its extras: `_env.py plot|docs|test`. Standard library only.

Does nothing when the last complete installation was of the same pyproject.toml.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".mdsens-installed"
SATISFIES = {"plot": ("plot", "docs", "test"), "docs": ("docs", "test"), "test": ("test",)}


def main(extra: str) -> int:
    # The folder is part of the stamp: a moved checkout has to be installed again.
    key = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + bytes(ROOT)).hexdigest()
    if is_current(key, extra):
        return 0
    with (ROOT / ".venv.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("another installation into .venv is running; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        return 0 if is_current(key, extra) else install(key, extra)


def is_current(key: str, extra: str) -> bool:
    try:
        done_key, done_extra = STAMP.read_text().split()
    except (OSError, ValueError):
        return False
    return done_key == key and done_extra in SATISFIES[extra] and PYTHON.exists()


def install(key: str, extra: str) -> int:
    make_environment()
    STAMP.unlink(missing_ok=True)
    forget_half_installed()
    say(f"installing mdsens[{extra}] into {VENV} (about 1.3 GB the first time)")
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--no-user"]
    if subprocess.call([*pip, "--editable", f"{ROOT}[{extra}]"]):
        return fail("the installation stopped (pip says why above); run the same command again")
    STAMP.write_text(f"{key} {extra}\n")
    return 0


def make_environment() -> None:
    if runs("import pip, sys; assert sys.version_info >= (3, 11)"):
        return
    say(f"making {VENV} with Python {sys.version.split()[0]}")
    broken = VENV.exists() and not runs("import sys; assert sys.version_info >= (3, 11)")
    if broken:
        shutil.rmtree(VENV)
    base = Path(getattr(sys, "_base_executable", sys.executable))
    made = subprocess.run([base, "-m", "venv", VENV], capture_output=True, text=True)
    if made.returncode:
        # Some distributions ship venv without ensurepip: borrow the pip of the interpreter.
        subprocess.check_call([base, "-m", "venv", "--without-pip", "--clear", VENV])
        if subprocess.call([base, "-m", "pip", "--python", PYTHON, "install", "pip"]):
            sys.exit(fail("no pip for .venv; install your system's python3-venv package"))


def runs(code: str) -> bool:
    command = [PYTHON, "-c", code]
    return PYTHON.exists() and not subprocess.run(command, capture_output=True).returncode


def forget_half_installed() -> None:
    """An interrupted pip leaves packages without their RECORD, which it then takes for complete."""
    for info in VENV.glob("lib/python*/site-packages/*.dist-info"):
        if not (info / "RECORD").exists():
            shutil.rmtree(info)


def say(text: str) -> None:
    print(f"mdsens: {text}", file=sys.stderr, flush=True)


def fail(text: str) -> int:
    print(f"mdsens: error: {text}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(130)
