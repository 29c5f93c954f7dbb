#!/usr/bin/env bash
# Installs what Seedbed needs to build, run and test on Debian 12, and nothing that is there already. Says what it does.
# Usage: install_dependencies.sh [--tests] [--fuzz]
set -euo pipefail

packages=(
  g++ cmake ninja-build ccache pkg-config ca-certificates git
  libtorch-dev libopenblas0-pthread                       # training: LibTorch and a BLAS that is fast on one thread
  libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc
  libabsl-dev nlohmann-json3-dev libyaml-cpp-dev libcli11-dev libspdlog-dev libssl-dev libcpp-httplib-dev
  libsqlite3-dev sqlite3
)
for word in "$@"; do
  case "$word" in
    --tests) packages+=(libgtest-dev libgmock-dev python3 python3-torch) ;;  # torch: reads exported checkpoints as users do
    --fuzz) packages+=(clang-14 libclang-rt-14-dev) ;;                       # libFuzzer (tests/sanitize.sh fuzz)
    *) echo "install_dependencies: no such option: $word" >&2; exit 2 ;;
  esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "install_dependencies: this is no Debian system. Install the equivalents of these packages yourself: ${packages[*]}" >&2
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ "$status" == installed ]] || missing+=("$package")
done

if [[ ${#missing[@]} -eq 0 ]]; then
  echo "install_dependencies: everything is there"
  exit 0
fi

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "install_dependencies: these packages are missing, and neither root nor sudo is at hand to install them:" >&2
    echo "  apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "install_dependencies: installing ${missing[*]}"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q=2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q=2 --no-install-recommends "${missing[@]}" >/dev/null
echo "install_dependencies: done"
