#!/usr/bin/env bash
# From a bare machine to a judged training run: installs what is missing, builds, generates a small dataset, trains a workload's
# tiny config on two MPI ranks to the target, and prints where the results are. A second call builds nothing and keeps the data.
#   scripts/quickstart.sh [WORKLOAD] [options of trainmark run]      WORKLOAD: a folder of configs/ (cosmoflow, deepcam, resnet50)
set -euo pipefail
cd "$(dirname "$0")/.."

workload=cosmoflow
case ${1:-} in
  "" | -*) ;;
  *) workload=$1; shift ;;
esac
config=configs/$workload/tiny.json
case $workload in
  */* | .*) config= ;;
esac
if [ ! -f "$config" ]; then
  known=$(cd configs && for each in */tiny.json; do echo "${each%/*}"; done | paste -sd ' ')
  echo "quickstart: there is no workload \"$workload\" (its run is configs/<workload>/tiny.json); known: $known" >&2
  exit 2
fi

scripts/setup.sh
if [ ! -f build/default/build.ninja ]; then
  cmake --preset default -DTRAINMARK_TESTS=OFF >build-configure.log 2>&1 || { cat build-configure.log >&2; exit 4; }
  rm -f build-configure.log
fi
cmake --build --preset default --target trainmark-cli

# Two folders play the parts of a cluster's file systems: one shared by all nodes, one local to each.
export TRAINMARK_DATA=${TRAINMARK_DATA:-$PWD/data/$workload-tiny}
export TRAINMARK_LOCAL=${TRAINMARK_LOCAL:-$PWD/scratch/node-local}

launch=(mpirun -n 2 --bind-to none)
# Open MPI refuses root and more ranks than cores unless told; both are ordinary on a laptop or in a container.
[ "$(id -u)" -eq 0 ] && launch+=(--allow-run-as-root)
[ "$(nproc)" -lt 2 ] && launch+=(--oversubscribe)

"${launch[@]}" build/default/bin/trainmark data generate "$TRAINMARK_DATA" --workload "$workload"
"${launch[@]}" build/default/bin/trainmark run "$config" "$@"
