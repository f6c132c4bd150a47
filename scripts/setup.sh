#!/usr/bin/env bash
# Installs what a build (and, with --tests, the tests) needs on Debian 12 or a system like it, and configures nothing.
# Debian packages through apt-get (root or sudo); oneDNN and the tests' Python packages into .venv. Does only what is missing.
#   scripts/setup.sh [--tests] [--fetch-cuda]
# --fetch-cuda: where no CUDA toolkit is installed, takes compiler, cuDNN and NCCL from Python packages (about 3 GB).
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(g++ cmake ninja-build ccache pkg-config openmpi-bin libopenmpi-dev libhdf5-dev nlohmann-json3-dev 
          libfmt-dev libspdlog-dev libcli11-dev libhwloc-dev libxxhash-dev libdeflate-dev libjpeg-dev libkissfft-dev libhwy-dev libboost-dev python3 python3-venv)
python_packages=(onednn-devel-cpu-gomp==2023.2.0)
tests=no fetch_cuda=no
for argument in "$@"; do
  case "$argument" in
    --tests) tests=yes ;;
    --fetch-cuda) fetch_cuda=yes ;;
    *) echo "setup: unknown argument $argument (--tests, --fetch-cuda)" >&2; exit 2 ;;
  esac
done
if [ "$tests" = yes ]; then
  packages+=(libgtest-dev libbenchmark-dev hdf5-tools slurmctld slurmd slurm-client munge slurm-wlm-basic-plugins)
  python_packages+=(mlperf-logging==4.1.68 numpy h5py jsonschema)
fi

# The CUDA backend is built where a toolkit is; of all it needs only the headers of cudnn-frontend come from here.
cuda_packages=()  # installed without what they depend on, which would be PyTorch's gigabytes
if command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; then
  cuda_packages=(nvidia-cudnn-frontend==1.32.0)
elif [ "$fetch_cuda" = yes ]; then
  cuda_packages=(nvidia-cudnn-frontend==1.32.0 nvidia-cuda-nvcc==13.0.* nvidia-nvvm==13.0.* nvidia-cuda-crt==13.0.*
                 nvidia-nvtx==13.0.* nvidia-cuda-profiler-api==13.0.* nvidia-cuda-runtime==13.0.* nvidia-cuda-cccl==13.0.* nvidia-cuda-nvrtc==13.0.*
                 nvidia-cudnn-cu13==9.19.* nvidia-nccl-cu13 nvidia-cublas==13.*)
else
  echo "setup: no CUDA toolkit here, so the CUDA backend is left out (scripts/setup.sh --fetch-cuda takes one from Python packages)"
fi

if command -v dpkg-query >/dev/null; then
  missing=()
  for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    echo "setup: installing ${missing[*]}"
    sudo=()
    if [ "$(id -u)" -ne 0 ]; then
      command -v sudo >/dev/null || { echo "setup: run as root, or install: ${missing[*]}" >&2; exit 4; }
      sudo=(sudo)
    fi
    "${sudo[@]}" apt-get update -q >/dev/null
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
  fi
else
  echo "setup: no dpkg here; README.md lists the packages to install" >&2
fi

# install_python FLAGS PACKAGES...: one stamp line a package, so that an unchanged list costs nothing the second time.
stamp=.venv/.trainmark-packages
install_python() {
  local flags=$1 wanted
  shift
  [ $# -gt 0 ] || return 0
  wanted=$(printf '%s\n' "$@")
  if [ -f "$stamp" ] && [ -z "$(comm -23 <(sort <<<"$wanted") <(sort "$stamp"))" ]; then return 0; fi
  echo "setup: Python packages into .venv: $*"
  [ -x .venv/bin/python ] || python3 -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check ${flags:+"$flags"} "$@"
  { [ -f "$stamp" ] && cat "$stamp"; printf '%s\n' "$wanted"; } | sort -u >"$stamp.new"
  mv "$stamp.new" "$stamp"
}
install_python "" "${python_packages[@]}"
install_python --no-deps "${cuda_packages[@]}"

# Packages leave out the links by which compilers and CMake know a toolkit.
for toolkit in .venv/lib/python3*/site-packages/nvidia/cu13; do
  [ -x "$toolkit/bin/nvcc" ] || continue
  [ -e "$toolkit/lib64" ] || ln -s lib "$toolkit/lib64"
  for library in cudart nvrtc; do
    [ -e "$toolkit/lib/lib$library.so" ] || ln -s "lib$library.so.13" "$toolkit/lib/lib$library.so"
  done
done
