#!/usr/bin/env bash
# Builds with sanitizers and runs the tests that go with them: asan (address and undefined behaviour; unit and mpi tests) or
# tsan (threads; comm, load, stage and the collective queue). Longer than CI's budget, so run by hand before a release.
#   scripts/sanitize.sh asan|tsan
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-}
case "$preset" in
  asan)
    # Open MPI keeps memory of its own until the process ends.
    export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ;;
  tsan)
    # Open MPI's own locks are taken in different orders inside btl_tcp; its threads are not ours to judge.
    export TSAN_OPTIONS="detect_deadlocks=0 suppressions=$PWD/tests/support/tsan.supp" ;;
  *) sed -n 2,5p "$0"; exit 2 ;;
esac
scripts/setup.sh --tests
cmake --preset "$preset" >/dev/null
# Only the programs that the preset's tests run: their names are the tests' names, less the number of ranks.
mapfile -t programs < <(ctest --preset "$preset" --show-only | sed -n 's/^ *Test *#[0-9]*: \([^.]*\).*/\1/p' | sort -u)
cmake --build --preset "$preset" --target "${programs[@]}"
ctest --preset "$preset"
