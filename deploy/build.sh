#!/usr/bin/env bash
# Builds Seedbed into build/ (Release, Ninja, ccache if there). Usage: build.sh [--tests]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tests=OFF
[[ "${1:-}" == "--tests" ]] && tests=ON

# A file that includes LibTorch takes up to 1.5 GB to compile: as many jobs as cores, but no more than memory bears.
cores=$(nproc)
memory_kib=$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)
jobs=$((memory_kib / 1572864))
((jobs < 1)) && jobs=1
((jobs > cores)) && jobs=$cores

# So that another checkout's build finds what this one compiled.
export CCACHE_BASEDIR=$PWD
export CCACHE_NOHASHDIR=1

mkdir -p build
echo "build: configuring build/ (Release, tests $tests)"
cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DSEEDBED_TESTS=$tests >build/configure.log 2>&1 ||
  { cat build/configure.log >&2; exit 1; }
echo "build: compiling with $jobs jobs (the first time a quarter to half an hour on two cores, tests included)"
if [[ -t 1 ]]; then
  cmake --build build -j "$jobs"
else
  cmake --build build -j "$jobs" -- --quiet
fi
echo "build: programs are in build/bin"
