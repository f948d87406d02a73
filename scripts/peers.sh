#!/usr/bin/env bash
# Make .venv-peers, the environment of the benchmark's peers, from their own lock.
set -euo pipefail
cd "$(dirname "$0")/.."

lock=bench/peers/requirements.lock
uv=.venv/bin/uv
[ -x "$uv" ] || uv=$(command -v uv)

[ -x .venv-peers/bin/python ] || .venv/bin/python -m venv --without-pip .venv-peers
printf 'Installing the locked packages of the peers into .venv-peers\n'
export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-300}"
"$uv" pip sync --quiet --python .venv-peers/bin/python --require-hashes "$lock"
sha256sum "$lock" | cut -d ' ' -f 1 >.venv-peers/.synced
