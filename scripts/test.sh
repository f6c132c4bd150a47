#!/usr/bin/env bash
# All set-up and all tests. Extra arguments go to ctest, e.g. scripts/test.sh -L unit
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh --tests
python3 scripts/check_layers.py
cmake --preset default -DTRAINMARK_TESTS=ON >/dev/null
cmake --build --preset default
ctest --preset default "$@"
