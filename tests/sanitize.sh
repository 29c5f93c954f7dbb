#!/usr/bin/env bash
# Builds with a sanitizer and runs the tests under it. Apart from tests/run.sh, which has no time for it.
#   tests/sanitize.sh asan [words for ctest]     AddressSanitizer with leaks, UndefinedBehaviorSanitizer
#   tests/sanitize.sh tsan [words for ctest]     ThreadSanitizer
#   tests/sanitize.sh fuzz [seconds] [target]... libFuzzer with both of asan's, on each target of tests/fuzz (60 seconds)
# JOBS says how many compilers and tests run at once (default: one for each processor).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
jobs=${JOBS:-$(nproc)}
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1

usage() {
  sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

# Every report, whether or not the test noticed that a process of it had one.
no_reports() {
  local reports=("build-$1"/reports/*)
  [[ -e ${reports[0]} ]] || return 0
  echo "sanitize: ${#reports[@]} reports in build-$1/reports:" >&2
  head -n 40 "${reports[@]}" >&2
  return 1
}

suite() {
  local preset=$1
  shift
  deploy/install_dependencies.sh --tests
  cmake --preset "$preset" >/dev/null
  cmake --build --preset "$preset" -j "$jobs"
  rm -f "build-$preset"/reports/*
  local status=0
  ctest --preset "$preset" -j "$jobs" "$@" || status=$?
  no_reports "$preset" || status=1
  return "$status"
}

fuzz() {
  local seconds=${1:-60}
  [[ "$seconds" =~ ^[0-9]+$ ]] || usage
  shift || true
  deploy/install_dependencies.sh --tests --fuzz
  cmake --preset fuzz >/dev/null
  local targets=("$@")
  if [[ ${#targets[@]} -eq 0 ]]; then
    for source in tests/fuzz/fuzz_*.cc; do targets+=("$(basename "$source" .cc)"); done
  fi
  cmake --build build-fuzz -j "$jobs" --target "${targets[@]}"
  local failed=()
  for target in "${targets[@]}"; do
    # New inputs and those that break something go to the build; the corpus stays as it is.
    local found=build-fuzz/tests/fuzz/$target.found
    mkdir -p "$found"
    echo "== $target, $seconds seconds"
    "build-fuzz/fuzz/$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
      -artifact_prefix="$found/" "$found" "tests/fuzz/corpus/${target#fuzz_}" 2>"$found.log" || failed+=("$target")
    tail -n 12 "$found.log"
  done
  [[ ${#failed[@]} -eq 0 ]] && return 0
  echo "sanitize: broken: ${failed[*]}; the inputs lie in build-fuzz/tests/fuzz/TARGET.found, all output in TARGET.found.log" >&2
  return 1
}

case "${1:-}" in
  asan | tsan) suite "$@" ;;
  fuzz) fuzz "${@:2}" ;;
  *) usage ;;
esac
