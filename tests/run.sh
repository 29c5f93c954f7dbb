#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test. Words given are handed to ctest, e.g. tests/run.sh -R core
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

deploy/install_dependencies.sh --tests
deploy/build.sh --tests
# What takes minutes or hours (storms, soaks) carries the label "long" and is run by hand: ctest --test-dir build -L long
exec ctest --test-dir build --output-on-failure -j "$(nproc)" -LE long "$@"
