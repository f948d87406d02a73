#!/usr/bin/env bash
# Create the work pools and deploy every flow of prefect.yaml to the project's server, or to the one
# that NORMSCAPE_PREFECT_API_URL names.
set -euo pipefail
cd "$(dirname "$0")/.."
export NORMSCAPE_ROOT="$PWD"
export PREFECT_API_URL="${NORMSCAPE_PREFECT_API_URL:-http://127.0.0.1:4200/api}"
export PREFECT_HOME="$PWD/.normscape/server"
unset PREFECT_PROFILE
mkdir -p "$PREFECT_HOME"
for pool in cpu gpu; do
    prefect work-pool inspect "$pool" >/dev/null 2>&1 || prefect work-pool create "$pool" --type process
done
prefect --no-prompt deploy --all
