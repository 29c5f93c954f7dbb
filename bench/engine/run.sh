#!/bin/sh
# Times the engine, and beside it the same models in eager PyTorch where Python has torch.
# usage: bench/engine/run.sh [ENGINE_BENCH [SECONDS]]     PYTHON chooses the interpreter
set -eu
here=$(dirname "$0")
bench=${1:-$here/../../build/bin/engine_bench}
seconds=${2:-4}
figures=$(mktemp)
trap 'rm -f "$figures"' EXIT
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1
# The bench chooses this for itself as the engine does; Python has to be told.
if [ -z "${OPENBLAS_CORETYPE:-}" ] && grep -q avx512bw /proc/cpuinfo; then
  export OPENBLAS_CORETYPE=SkylakeX
fi
"$bench" "$seconds" "$figures"
python=${PYTHON:-python3}
if "$python" -c 'import torch' 2>/dev/null; then
  "$python" "$here/eager_pytorch.py" --seconds "$seconds" --engine "$figures"
  if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    "$python" "$here/eager_pytorch.py" --seconds "$seconds" --engine "$figures" --device cuda
  else
    echo "eager PyTorch on a GPU: not measured, $python finds none"
  fi
else
  echo "eager PyTorch: not measured, $python has no torch"
fi
