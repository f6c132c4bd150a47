#!/bin/sh
# Starts a program of the bundle that scripts/gpu_bundle.sh makes, under the name of the link it was called by. It finds the
# CUDA libraries: TRAINMARK_CUDA_LIBS (folders, joined by ':'), LD_LIBRARY_PATH, python3's nvidia packages, the toolkit.
PATH=${PATH:+$PATH:}/usr/bin:/bin  # under env -i, and below mpirun then, there is none
export PATH
root=$(dirname -- "$(readlink -f -- "$0")")
program=$(basename -- "$0")
fail() { echo "$program: error: $1" >&2; exit 4; }

have=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2)
older=$(printf '%s\n%s\n' "${have:-0}" "@GLIBC@" | sort -V | head -n 1)
[ "$older" = "@GLIBC@" ] || fail "glibc ${have:-(none found)} is older than @GLIBC@, which this bundle needs; build on this machine instead (docs/gpu.md)"
if [ "$(printf '%s\n%s\n' "$have" 2.36 | sort -V | head -n 1)" != 2.36 ]; then
  export LD_PRELOAD="$root/lib/older_glibc.so${LD_PRELOAD:+:$LD_PRELOAD}"
fi
[ "$(uname -m)" = x86_64 ] || fail "this bundle is for x86-64, not $(uname -m)"

packages=$("${TRAINMARK_PYTHON:-python3}" -c '
import glob, os, sys
print(":".join(d for p in sys.path if p for d in sorted(glob.glob(os.path.join(glob.escape(p), "nvidia", "*", "lib")))))' 2>/dev/null)
toolkit=
for folder in ${CUDA_HOME:+"$CUDA_HOME/lib64" "$CUDA_HOME/lib"} /usr/local/cuda/lib64 /usr/local/cuda/lib; do
  [ ! -d "$folder" ] || toolkit=$toolkit:$folder
done
path=
for folders in "$root/lib" "$TRAINMARK_CUDA_LIBS" "$LD_LIBRARY_PATH" "$packages" "${toolkit#:}"; do
  [ -z "$folders" ] || path=${path:+$path:}$folders
done
export LD_LIBRARY_PATH="$path"

# Open MPI and PMIx look for their parts where they were installed unless told otherwise.
export OPAL_PREFIX="$root" OPAL_BINDIR="$root/bin" OPAL_LIBDIR="$root/lib" OPAL_PKGLIBDIR="$root/plugins"
export OPAL_PKGDATADIR="$root/share/openmpi" OPAL_SYSCONFDIR="$root/share" PMIX_INSTALL_PREFIX="$root/pmix"
export OMPI_MCA_mca_base_component_show_load_errors=0

[ "$program" != mpirun ] || exec "$root/bin/orterun" "$@"
missing=$(LD_TRACE_LOADED_OBJECTS=1 "$root/bin/$program" 2>/dev/null | sed -n 's/^[[:space:]]*\([^ ]*\) => not found.*/\1/p' | sort -u | tr '\n' ' ')
[ -z "$missing" ] || fail "not found: $missing; install them (as Python packages: pip install nvidia-cudnn-cu13 nvidia-nccl-cu13 nvidia-cuda-nvrtc nvidia-cublas) or set TRAINMARK_CUDA_LIBS to their folders"
exec "$root/bin/$program" "$@"
