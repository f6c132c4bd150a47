#!/usr/bin/env bash
# Installs what a build (and, with --tests, the tests) needs on Debian 12 or a system like it, and configures nothing.
# Debian packages through apt-get (root or sudo); oneDNN and the tests' Python packages into .venv. Does only what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(g++ cmake ninja-build ccache pkg-config openmpi-bin libopenmpi-dev libhdf5-dev nlohmann-json3-dev 
          libfmt-dev libcli11-dev libhwloc-dev libxxhash-dev libdeflate-dev libkissfft-dev libhwy-dev python3 python3-venv)
python_packages=(onednn-devel-cpu-gomp==2023.2.0)
if [ "${1:-}" = --tests ]; then
  packages+=(libgtest-dev libbenchmark-dev hdf5-tools)
  python_packages+=(mlperf-logging==4.1.68 numpy h5py jsonschema)
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

# One stamp line a package: an unchanged list costs nothing the second time.
stamp=.venv/.trainmark-packages
wanted=$(printf '%s\n' "${python_packages[@]}")
if ! { [ -f "$stamp" ] && [ -z "$(comm -23 <(sort <<<"$wanted") <(sort "$stamp"))" ]; }; then
  echo "setup: Python packages into .venv: ${python_packages[*]}"
  [ -x .venv/bin/python ] || python3 -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check "${python_packages[@]}"
  { [ -f "$stamp" ] && cat "$stamp"; printf '%s\n' "$wanted"; } | sort -u >"$stamp.new"
  mv "$stamp.new" "$stamp"
fi
