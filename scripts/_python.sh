# Sourced by the scripts beside it. Sets `root` (the repository) and `python` (>= 3.11), or stops
# with one sentence. $PYTHON chooses an interpreter; otherwise an existing .venv, then the path.
unset PYTHONPATH # packages of another environment do not belong in ours

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P) || exit 1

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2]); sys.exit(sys.version_info < (3, 11))' \
        2>/dev/null
}

python=
seen=
for candidate in ${PYTHON:+"$PYTHON"} "$root/.venv/bin/python" \
    python3 python3.13 python3.12 python3.11 python3.14 python; do
    version=$(version_of "$candidate") && python=$candidate && break
    [ -n "$version" ] && seen="$seen${seen:+, }$candidate is $version"
    [ -n "${PYTHON:-}" ] && break
done
if [ -z "$python" ]; then
    echo "mdsens: error: Python 3.11 or newer is needed (${seen:-${PYTHON:-python3} was not found});" \
        "set PYTHON=/path/to/python3.11 and run this again" >&2
    exit 2
fi
