#!/usr/bin/env bash
# Make .venv from the locks: find Python, get uv, sync both locks in one go, install the project.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf 'error: %s\n' "$1" >&2; exit 1; }

python=""
for candidate in python3.12 python3.13 python3.11 python3; do
    if command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info < (3, 14)))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || fail "no Python from 3.11 to 3.13 on PATH; install one, then run this again"

if [ ! -x .venv/bin/python ]; then
    free_gib=$(($(df -Pk . | awk 'NR == 2 { print $4 }') / 1048576))
    [ "$free_gib" -ge 9 ] ||
        fail "the environment needs 9 GiB (PyTorch with CUDA included), this disk has $free_gib GiB free; make room, then run this again"
    rm -rf .venv
    if ! problem=$("$python" -m venv .venv 2>&1); then
        printf '%s\n' "$problem" >&2
        fail "'$python -m venv .venv' failed; if it lacks ensurepip, install the venv module (Debian and Ubuntu: apt install python3-venv), then run this again"
    fi
fi

if ! command -v uv >/dev/null 2>&1 && [ ! -x .venv/bin/uv ]; then
    version=$(sed -n 's/^\(uv==[0-9.]*\).*/\1/p' requirements-dev.lock)
    printf 'Getting %s\n' "$version"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$version" ||
        fail "could not install $version; check the network and the pip configuration"
fi
uv=.venv/bin/uv
[ -x "$uv" ] || uv=$(command -v uv)

printf 'Installing the locked packages into .venv (about 7 GB the first time)\n'
export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-300}"
"$uv" pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock requirements-dev.lock
"$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
touch .venv/.synced
