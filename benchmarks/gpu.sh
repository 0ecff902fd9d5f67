#!/usr/bin/env bash
# On a machine with a GPU: its tests first, then the benchmarks; no figure after a failed test. About eight minutes on an H200.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python}
"$PYTHON" -m pytest -q tests/test_triton_interpreter.py tests/test_triton_operations.py tests/test_kernels.py \
  tests/test_kernel_operations.py tests/test_golden_ops.py
timeout 600 "$PYTHON" -m benchmarks.hotpath --device cuda "$@"
"$PYTHON" -m benchmarks.kernels_page
