#!/bin/sh
# Measures and checks trainmark on the GPU of this machine: scripts/gpu_check.py with the Python found here.
#   scripts/gpu_check.sh [--part quick|tests|peer|all] [--programs FOLDER] [--full] [--cpu] [--json FILE]
# Exit code: 0 all correctness steps passed, 1 one did not, 2 usage, 4 no device (or no Python) here.
here=$(dirname -- "$(readlink -f -- "$0")")
python=${TRAINMARK_PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then
  echo "gpu_check: error: Python 3.8 or later is needed ($python is not one); set TRAINMARK_PYTHON" >&2
  exit 4
fi
exec "$python" "$here/gpu_check.py" "$@"
