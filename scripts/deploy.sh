#!/usr/bin/env bash
# Create the work pools and deploy every flow of prefect.yaml to the server at PREFECT_API_URL.
set -euo pipefail
cd "$(dirname "$0")/.."
export NORMSCAPE_ROOT="$PWD"
: "${PREFECT_API_URL:=http://127.0.0.1:4200/api}"
export PREFECT_API_URL
for pool in cpu gpu; do
    prefect work-pool inspect "$pool" >/dev/null 2>&1 || prefect work-pool create "$pool" --type process
done
prefect --no-prompt deploy --all
