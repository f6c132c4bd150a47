#!/usr/bin/env bash
# All set-up and all tests. Extra arguments go to ctest, e.g. scripts/test.sh -L unit
#   scripts/test.sh [--fetch-cuda] [ctest arguments]
# Without a GPU the CUDA backend is planned and run on the device double; without a CUDA toolkit it is left out, and said so.
set -euo pipefail
cd "$(dirname "$0")/.."

setup=(--tests)
if [ "${1:-}" = --fetch-cuda ]; then
  setup+=(--fetch-cuda)
  shift
fi
scripts/setup.sh "${setup[@]}"
python3 scripts/check_layers.py
cmake --preset default -DTRAINMARK_TESTS=ON >/dev/null
cmake --build --preset default
no_slurm=$(python3 tests/slurm/cluster.py --why-not)
[ -z "$no_slurm" ] || echo "test: tests on a Slurm (label slurm) are skipped: $no_slurm"
ctest --preset default "$@"
