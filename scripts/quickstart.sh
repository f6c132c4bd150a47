#!/usr/bin/env bash
# From a bare machine to a judged training run: installs what is missing, builds, generates a small CosmoFlow dataset, trains
# it on two MPI ranks to the target, and prints where the results are. A second call builds nothing and keeps the data.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
if [ ! -f build/default/build.ninja ]; then
  cmake --preset default -DTRAINMARK_TESTS=OFF >build-configure.log 2>&1 || { cat build-configure.log >&2; exit 4; }
  rm -f build-configure.log
fi
cmake --build --preset default --target trainmark-cli

# Two folders play the parts of a cluster's file systems: one shared by all nodes, one local to each.
export TRAINMARK_DATA=${TRAINMARK_DATA:-$PWD/data/cosmoflow-tiny}
export TRAINMARK_LOCAL=${TRAINMARK_LOCAL:-$PWD/scratch/node-local}

launch=(mpirun -n 2 --bind-to none)
# Open MPI refuses root and more ranks than cores unless told; both are ordinary on a laptop or in a container.
[ "$(id -u)" -eq 0 ] && launch+=(--allow-run-as-root)
[ "$(nproc)" -lt 2 ] && launch+=(--oversubscribe)

"${launch[@]}" build/default/bin/trainmark data generate "$TRAINMARK_DATA"
"${launch[@]}" build/default/bin/trainmark run configs/cosmoflow/tiny.json "$@"
