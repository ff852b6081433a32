#!/bin/sh
# What the two networks and a frame take on this board, beside what docs/speed/arm.md expects of a Raspberry Pi:
#
#   deploy/pi/bench.sh > bench.md       from a checkout, in some minutes; send us bench.md
#
# Taken is the edge-anpr that is installed, by its package or by deploy/venv/install. Where there is none, or its ONNX
# Runtime does not load (Debian 13's on a Raspberry Pi 4), a venv is made in a temporary folder, 400 MB, and deleted.
# PYTHON=/path/to/python names another one, 3.11 or newer. Stop what else is running, the unit's services first.
set -eu

here="$(cd "$(dirname "$0")/../.." && pwd)"
work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { echo "bench: $*" >&2; }

loads() { # whether this Python has an edge-anpr that can load its runtime; by a death in silence, if it must
    (cd / && exec "$1" -c 'import edge_anpr.vision.session') >/dev/null 2>&1
}

python=
for one in ${PYTHON:+"$PYTHON"} /opt/edge-anpr/bin/python /usr/bin/python3; do
    if [ -x "$one" ] && loads "$one"; then
        python="$one"
        break
    fi
done
if [ -z "$python" ]; then
    base="${PYTHON:-$(command -v python3 || true)}"
    if [ -z "$base" ] || ! "$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        say "needs Python 3.11 or newer; name one by PYTHON="
        exit 2
    fi
    "$base" -c 'import ensurepip' 2>/dev/null || {
        say "sudo apt install python3-venv first"
        exit 2
    }
    work="$(mktemp -d)"
    say "no edge-anpr is installed that runs here; making one in $work, to be deleted"
    "$base" -m venv "$work/venv"
    # The wheel is made from a copy of what it needs, so that nothing is left in the checkout.
    mkdir "$work/source" "$work/tmp"
    tar -C "$here" -cf - pyproject.toml README.md LICENSE models/detector.onnx models/detector.json models/ocr.onnx \
        models/ocr.json edge_anpr | tar -C "$work/source" -xf -
    TMPDIR="$work/tmp" "$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir "$work/source" >&2
    python="$work/venv/bin/python"
fi
say "measuring; the table follows"
cd / # else Python takes the checkout's edge_anpr
"$python" "$here/deploy/pi/passes.py" "$here/docs/speed/expected.json"
