#!/usr/bin/env bash
# From a fresh Debian 12 to a first sweep: installs what is missing, builds, and runs studies/quickstart.yaml.
# Words given to this script are handed to `seedbed run`, e.g. deploy/quickstart.sh seeds=5
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

deploy/install_dependencies.sh
deploy/build.sh
echo "quickstart: build/bin/seedbed run studies/quickstart.yaml $*"
exec build/bin/seedbed run studies/quickstart.yaml "$@"
