#!/usr/bin/env bash
# Packs a build with the CUDA backend into one file for a look at a GPU machine without root, packages or network: programs,
# shared objects other than CUDA's and glibc's, Open MPI for one node, configs, scripts/gpu_check.sh and cuDNN's plans of what
# that times, so that no minute on the device goes into making them (docs/gpu.md).
#   scripts/gpu_bundle.sh [--device h200|a100] [--plans "PRECISION:BATCH ..."] [BUILD_DIR] [OUT]
# Default: h200, "bf16:4 bf16:8 bf16:1 tf32:4 tf32:8", build/default, trainmark-gpu.tar.gz.
# Needs the targets trainmark-cli, backend_ops and, for plans, driver_double (-DTRAINMARK_TESTS=ON). On a cluster build against
# the site's MPI instead.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
device=h200
plans="bf16:4 bf16:8 bf16:1 tf32:4 tf32:8"
while [ $# -gt 0 ]; do
  case "$1" in
    --device) device=${2:?--device takes a name of share/devices}; shift 2 ;;
    --plans) plans=${2?--plans takes a list}; shift 2 ;;
    -*) echo "gpu_bundle: unknown option $1 (--device, --plans)" >&2; exit 2 ;;
    *) break ;;
  esac
done
build=${1:-$root/build/default}
out=${2:-trainmark-gpu.tar.gz}
limit_mb=60
oldest_glibc=2.34

fail() { echo "gpu_bundle: $1" >&2; exit "${2:-4}"; }
for program in trainmark backend_ops; do
  [ -x "$build/bin/$program" ] || fail "$build/bin/$program is not there: cmake -B $build -DTRAINMARK_TESTS=ON, then cmake --build $build --target trainmark-cli backend_ops" 2
done
readelf -d "$build/bin/trainmark" | grep -q 'libcudnn\.so' || fail "$build has no CUDA backend (configure it with -DTRAINMARK_CUDA=ON)"
for tool in readelf objdump strip ldd tar gzip gcc python3 orted orterun ompi_info; do
  command -v "$tool" >/dev/null || fail "$tool is needed"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
name=$(basename "$out"); name=${name%.tar.*}
top=$work/$name
mkdir -p "$top"/{bin,lib,plugins,pmix/lib/pmix,share/openmpi,configs,scripts,benchmarks}

cp "$build/bin/trainmark" "$build/bin/backend_ops" "$top/bin/"
# Open MPI 4 starts orted even for a world of one; orterun is its mpirun.
for program in orted orterun; do cp -L "$(command -v "$program")" "$top/bin/$program"; done
plugins=$(ompi_info --path pkglibdir --parsable | cut -d: -f3)
for plugin in "$plugins"/mca_*.so; do
  case "${plugin##*/mca_}" in
    # Networks, remote shells, batch systems, OpenSHMEM and monitoring: of no use on one node (and plm_rsh insists on ssh).
    mtl_* | btl_openib* | btl_ofi* | *ucx* | *slurm* | *flux* | *jsm* | *gridengine* | *monitoring* | pml_cm* | crs_* | io_romio* | \
      vprotocol_* | plm_rsh* | atomic_* | memheap_* | scoll_* | spml_* | sshmem_*) ;;
    *) cp "$plugin" "$top/plugins/" ;;
  esac
done
cp "$(ompi_info --path pkgdatadir --parsable | cut -d: -f3)"/help-*.txt "$top/share/openmpi/"

# is_ours SONAME: glibc and the unwinder that fits it come from the machine, and so does CUDA, which has to fit the driver.
is_ours() {
  case "$1" in
    libc.so.* | libm.so.* | libpthread.so.* | libdl.so.* | librt.so.* | libresolv.so.* | libutil.so.* | libgcc_s.so.* | ld-linux*) return 1 ;;
    libcu* | libnv* | libnccl*) case "$1" in libcurl*) return 0 ;; *) return 1 ;; esac ;;
    *) return 0 ;;
  esac
}
# ldd follows what libraries need in turn; two rounds, because PMIx's own plugins are known once PMIx is.
copy_needed() {
  local soname path
  while read -r soname path; do
    if is_ours "$soname" && [ ! -e "$top/lib/$soname" ]; then cp -L "$path" "$top/lib/$soname"; fi
  done < <(for file in "$@"; do ldd "$file"; done | awk '$2 == "=>" && $3 ~ /^\// {print $1, $3}' | sort -u)
}
copy_needed "$build/bin/trainmark" "$build/bin/backend_ops" "$top"/bin/ort* "$top"/plugins/*.so
pmix=$(ldd "$top/plugins/mca_pmix_ext3x.so" 2>/dev/null | awk '$1 ~ /^libpmix/ {print $3}')
for plugin in ${pmix:+"$(dirname "$(readlink -f "$pmix")")"/pmix/pmix_mca_p*.so}; do
  case "$plugin" in *slurm*) ;; *) [ ! -e "$plugin" ] || cp "$plugin" "$top/pmix/lib/pmix/" ;; esac
done
missing=$(for file in "$top"/bin/* "$top"/plugins/*; do LD_LIBRARY_PATH=$top/lib ldd "$file" | grep 'not found'; done | sort -u || true)
[ -z "$missing" ] || fail "shared objects that the build machine does not find: $missing"

find "$top/bin" "$top/lib" "$top/plugins" "$top/pmix" -type f -exec strip --strip-unneeded {} +
# The run path names the build machine's folders: overwritten in place, so that no tool for it is needed.
python3 - "$top"/bin/* "$top"/lib/* <<'PYTHON'
import re, subprocess, sys
for path in sys.argv[1:]:
    dynamic = subprocess.run(["readelf", "-d", path], capture_output=True, text=True).stdout
    found = re.search(r"R(?:UN)?PATH\).*\[(.*)\]", dynamic)
    if not found or not found[1]:
        continue
    old = found[1].encode()
    new = b"$ORIGIN/../lib" if len(old) >= 14 else b"$ORIGIN" if len(old) >= 7 else b""
    data = open(path, "rb").read()
    assert data.count(old + b"\0") == 1, f"{path}: run path {old} occurs {data.count(old)} times"
    open(path, "r+b").write(data.replace(old + b"\0", new + bytes(len(old) - len(new) + 1)))
PYTHON
gcc -O2 -shared -fPIC -o "$top/lib/older_glibc.so" "$root/scripts/older_glibc.c"
find "$top/bin" "$top/lib" "$top/plugins" "$top/pmix" -type f -exec "$root/scripts/older_glibc.py" "$oldest_glibc" {} + || fail "these cannot run on glibc $oldest_glibc"

cp -r "$root/configs/." "$top/configs/"
cp -r "$root/benchmarks/peers" "$top/benchmarks/"
rm -rf "$top/benchmarks/peers/__pycache__"
cp "$root"/scripts/gpu_check.{sh,py} "$root"/scripts/gpu_{steps,table}.py "$top/scripts/"
cp "$root/LICENSE" "$root/docs/gpu.md" "$top/"
sed "s/@GLIBC@/$oldest_glibc/g" "$root/scripts/gpu_launch.sh" >"$top/launch.sh"
chmod +x "$top/launch.sh" "$top"/scripts/*
for program in trainmark backend_ops mpirun; do ln -s launch.sh "$top/$program"; done
(cd "$root" && git describe --always --dirty 2>/dev/null || echo unknown) >"$top/revision"

# cuDNN loads what it compiled through a driver, which the tests' stand-in plays. The settings are gpu_check's of timed runs.
driver=$build/tests/cuda_plans/driver_double
if [ -e "$driver/libcuda.so.1" ] && [ -n "$plans" ]; then
  mkdir "$top/plans"
  for plan in $plans; do
    precision=${plan%:*} batch=${plan#*:}
    LD_LIBRARY_PATH=$driver${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} "$build/bin/trainmark" plan "$root/configs/cosmoflow/node.json" --json \
      --device "$device" --set backend.plan_cache="$top/plans" --set train.precision="$precision" --set train.global_batch="$batch" \
      --set model.dropout=0 --set model.extent=128 >"$top/plans/$device-$precision-$batch.json"
    grep -q 'plan-checked' "$top/plans/$device-$precision-$batch.json" || fail "$precision batch $batch has no plans: $(grep '"plans"' "$top/plans/$device-$precision-$batch.json")" 1
  done
  echo "gpu_bundle: $(find "$top/plans" -name '*.plan' | wc -l) plans of $(echo "$plans" | wc -w) steps for $device"
else
  echo "gpu_bundle: no plans are packed: $driver/libcuda.so.1 is not there (target driver_double), or --plans is empty"
fi

tar -C "$work" --owner=0 --group=0 -cf - "$name" | gzip -9 >"$out"
size=$(stat -c %s "$out")
echo "gpu_bundle: $out, $((size / 1000000)) MB, for glibc $oldest_glibc or later"
[ "$size" -lt $((limit_mb * 1000000)) ] || fail "larger than $limit_mb MB" 1
