#!/usr/bin/env bash
# Fuzzes under the address and undefined-behaviour sanitizers: files of samples, JPEGs, TFRecords, logs, results folders, configs, manifests.
# Each target runs for as long as asked (60 s) with seeds of its own; inputs that fail are kept in scratch/fuzz/<target>.
#   scripts/fuzz.sh [SECONDS [TARGET...]]           targets: log report config manifest hdf5 jpeg tfrecord
# SEED=N repeats a run, WITH=FOLDER takes more files to start from, JOBS=N runs so many targets at a time.
# LIBFUZZER=1 builds with clang, 15 or newer, and lets libFuzzer look for inputs that reach new code; CLANG names another one than
# clang++-16 (Debian 12: clang-16 libclang-rt-16-dev libomp-16-dev).
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(log report config manifest hdf5 jpeg tfrecord)
seed=${SEED:-$(date +%s)}
build=build/asan
options=(-DTRAINMARK_TESTS=ON -DTRAINMARK_CUDA=OFF)
if [ -n "${LIBFUZZER:-}" ]; then
  clang=${CLANG:-clang++-16}
  command -v "$clang" >/dev/null || { echo "fuzz: no $clang: install it (its packages stand at the top of this file) or name another with CLANG" >&2; exit 4; }
  build=build/libfuzzer
  options+=(-B "$build" -DCMAKE_CXX_COMPILER="$clang" -DTRAINMARK_SANITIZE=address,undefined,fuzzer-no-link)
fi
cmake --preset asan "${options[@]}" >/dev/null
cmake --build "$build" --target "${targets[@]/#/fuzz_}"

echo "fuzz: $seconds s a target, seed $seed; what fails is kept in scratch/fuzz"
fuzz_one() {
  local target=$1 keep=scratch/fuzz/$1 program=$build/bin/fuzz_$1
  mkdir -p "$keep"
  if [ -n "${LIBFUZZER:-}" ]; then
    mkdir -p "scratch/fuzz/corpus/$target"
    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 "$program" -max_total_time="$seconds" -seed="$seed" -timeout=10 \
      -artifact_prefix="$keep/" "scratch/fuzz/corpus/$target" ${WITH:+"$WITH"}
  else
    local known=tests/fuzz/regressions/$target
    [ -d "$known" ] || known=
    "$program" $known --seconds "$seconds" --seed "$seed" --keep "$keep" ${WITH:+--with "$WITH"}
  fi
}
export -f fuzz_one
export build seconds seed
# Files that are written and read again for every input belong in memory.
[ -d /dev/shm ] && [ -w /dev/shm ] && export TMPDIR=/dev/shm
printf '%s\n' "${targets[@]}" | xargs -P "${JOBS:-$(nproc)}" -I{} bash -c 'fuzz_one {}'
