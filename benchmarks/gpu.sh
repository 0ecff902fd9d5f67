#!/usr/bin/env bash
# On a machine with a GPU: the quickest telling tests first, then the benchmarks in what is left of LIMIT seconds; no
# figure after a failed test. A row that is being measured when the time is up gets half a minute more at most.
#   benchmarks/gpu.sh [--out FILE]
# It needs torch, triton, pytest-xdist, jaxtyping, timm and einops; of peers, what is to be compared with.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
LIMIT=${LIMIT:-480}
"$PYTHON" -c 'import sys, torch; torch.cuda.is_available() or sys.exit("torch finds no GPU: nothing was measured")'
timeout 150 "$PYTHON" -m pytest -o addopts= -q -x -n 4 -m gpu tests/matching/kernels/test_triton_interpreter.py tests/matching/kernels/test_triton_operations.py
"$PYTHON" -m benchmarks.kernels.gpu --seconds $((LIMIT - SECONDS)) "$@"
"$PYTHON" -m benchmarks.kernels.page
