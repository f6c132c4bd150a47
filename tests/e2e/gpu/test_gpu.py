#!/usr/bin/env python3
"""The bundle for machines with a GPU and its check, tried without one: made, unpacked elsewhere, started with an empty
environment; the check says that there is no device, or passes where there is one."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(sys.argv[1])
LIMIT = 60_000_000
PYTHON = {"TRAINMARK_PYTHON": sys.executable}  # CUDA's libraries may be among its packages


def call(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=200, **options)


class Bundle(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="trainmark-bundle-")
        cls.work = pathlib.Path(cls.folder.name)
        packed = cls.work / "look.tar.gz"
        cls.made = call(ROOT / "scripts/gpu_bundle.sh", "--plans", "bf16:1", BUILD, packed)
        cls.size = packed.stat().st_size if packed.exists() else 0
        cls.top = cls.work / "somewhere else" / "look"
        cls.top.parent.mkdir()
        if cls.size:
            call("tar", "-C", cls.top.parent, "-xzf", packed)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_is_made_and_small(self):
        self.assertEqual(self.made.returncode, 0, self.made.stderr)
        self.assertLess(self.size, LIMIT)

    def test_carries_plans_that_a_machine_without_a_device_takes_without_planning_anew(self):
        driver = BUILD / "tests/cuda_plans/driver_double"
        if not (driver / "libcuda.so.1").exists():
            self.skipTest("the driver's stand-in is not built")
        plans = sorted((self.top / "plans").glob("*.plan"))
        self.assertGreater(len(plans), 10)
        model = json.loads((self.top / "plans/h200-bf16-1.json").read_text())
        self.assertIn("plan-checked", model["prediction"]["plans"])
        before = {plan: plan.stat().st_mtime_ns for plan in plans}
        done = call(BUILD / "bin/trainmark", "plan", ROOT / "configs/cosmoflow/node.json", "--json", "--device", "h200", "--set",
                    f"backend.plan_cache={self.top / 'plans'}", "--set", "train.precision=bf16", "--set", "train.global_batch=1", "--set",
                    "model.dropout=0", env={**os.environ, "LD_LIBRARY_PATH": str(driver)})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("not used", done.stderr)
        self.assertEqual({plan: plan.stat().st_mtime_ns for plan in sorted((self.top / "plans").glob("*.plan"))}, before)

    def test_starts_with_an_empty_environment_from_its_own_libraries(self):
        done = call(self.top / "trainmark", "--version", env=PYTHON)
        self.assertEqual(done.returncode, 0, done.stderr)
        for library in ("libdnnl", "libmpi", "libhdf5", "libfmt"):
            self.assertRegex(done.stdout, f"{library}: {self.top}/lib/")

    def test_two_ranks_of_its_own_mpirun_agree_without_ssh(self):
        launch = [self.top / "mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", 2]
        done = call(*launch, self.top / "trainmark", "run", self.top / "configs/cosmoflow/tiny.json", "--check", "cpu", "--set",
                    "backend.device=cpu", env={**PYTHON, "HOME": str(self.work)})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("backends agree", done.stdout + done.stderr)

    def test_names_the_cuda_libraries_that_are_missing(self):
        lacking = self.work / "lacking"
        shutil.copytree(self.top, lacking, symlinks=True)
        program = lacking / "bin/trainmark"
        program.write_bytes(program.read_bytes().replace(b"libcudnn.so.9\0", b"libcudnn.so.8\0"))
        done = call(lacking / "trainmark", "--version", env={})
        self.assertEqual(done.returncode, 4)
        self.assertRegex(done.stderr, r"not found: libcudnn\.so\.8 .*TRAINMARK_CUDA_LIBS")

    def test_refuses_an_older_glibc_by_number(self):
        script = (self.top / "launch.sh").read_text()
        (self.top / "later").write_text(script.replace("2.34", "2.99"))
        done = call("sh", self.top / "later", env={})
        self.assertEqual(done.returncode, 4)
        self.assertRegex(done.stderr, r"glibc \d+\.\d+ is older than 2\.99")

    def test_functions_of_later_glibcs_are_refused_by_name(self):
        copy = self.work / "libstdc++.so.6"
        shutil.copy(self.top / "lib/libstdc++.so.6", copy)
        done = call(ROOT / "scripts/older_glibc.py", "2.2.6", copy)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"needs .*secure_getenv.* of a glibc later than 2\.2\.6")

    def test_the_check_ends_with_4_where_there_is_no_device(self):
        report = self.work / "check.json"
        done = call(self.top / "scripts/gpu_check.sh", "--part", "quick", "--json", report, env=PYTHON)
        found = json.loads(report.read_text())
        if done.returncode != 4:
            self.assertEqual((done.returncode, found["passed"]), (0, True), done.stdout)
            return
        self.assertIn("no device here", done.stdout)
        self.assertIn("/backend/device", done.stdout)
        self.assertEqual(found["verdict"], "no device")
        self.assertIn("loader", found["diagnosis"])


class Check(unittest.TestCase):
    """The script's own logic, on a trainmark that makes its figures up. PyTorch is not there unless a test brings one."""

    # Counts its calls in $COUNT; the call of number $FAIL ends with 5, that of number $HANG not at all.
    FAKE = r"""#!/bin/sh
n=$(($(cat "$COUNT" 2>/dev/null || echo 0) + 1)); echo $n >"$COUNT"
[ "$n" != "${FAIL:-}" ] || { echo "it fails"; exit 5; }
[ "$n" != "${HANG:-}" ] && [ "$n" -lt "${HANG_FROM:-9999}" ] || { echo "it hangs"; exec sleep 100; }
folder= name= slower=2 nodes= tuned=
for word; do
  case $word in
    name=*) name=${word#name=} ;;
    results.folder=*) folder=${word#results.folder=} ;;
    backend.deterministic=true) slower=3 ;;
    --measure-nodes) nodes=1 ;;
    backend.autotune=true) tuned=1 ;;
  esac
done
[ -z "${REFUSED:-}" ] || echo "trainmark: x.plan: this cached plan is not used: $REFUSED; it is made anew"
case "$name" in throughput | same-*) ;; *) exit 0 ;; esac
mkdir -p "$folder/$name/$n"
echo "parameter_hash" >"$folder/$name/$n/epochs.csv"; echo "abc" >>"$folder/$name/$n/epochs.csv"
# Every run is slower than the one before, as on a device that grows warm.
figures="\"step_median_s\": $((slower * (100 + n)))e-2, \"steps\": 4, \"upload_s\": 0.2, \"upload_exposed_s\": 0.05"
if [ -n "$nodes" ]; then
  figures="$figures, \"nodes_s\": 0.008, \"nodes_update_share\": 0.25, \"nodes_all_reduce_share\": 0"
  printf 'node,op,seconds,share,flops,bytes\nconv1,ConvBlock,0.006,0.75,1,1\nupdate,Update,0.002,0.25,1,1\n' >"$folder/$name/$n/nodes.csv"
fi
if [ -n "$tuned" ]; then
  mkdir "$folder/$name/$n/diagnostics"
  for graph in small large; do
    ms=0.1; [ $graph = small ] || ms=0.4
    echo "12:00 debug 0 host plan engines timed for conv $graph | eng7 k1=2 0.500000 ms | eng1 $ms ms | eng3 not timed"
  done >"$folder/$name/$n/diagnostics/rank-0000.log"
fi
echo "{\"texts\": {\"backend\": \"made up${CAPTURE:-}\"}, \"figures\": {$figures}}" >"$folder/$name/$n/run.json"
"""
    TESTS = 'echo "[  PASSED  ] 3 tests."'

    def check(self, *options, tests=TESTS, torch="exit 1", **environment):
        with tempfile.TemporaryDirectory(prefix="trainmark-check-") as folder:
            work = pathlib.Path(folder)
            for name, text in (("trainmark", self.FAKE), ("backend_ops", f"#!/bin/sh\n{tests}\n"), ("python", f"#!/bin/sh\n{torch}\n"),
                               ("mpirun", '#!/bin/sh\nshift 6; exec "$@"\n')):  # one rank, so that calls can be counted
                (work / name).write_text(text)
                (work / name).chmod(0o755)
            report = work / "check.json"
            done = call(ROOT / "scripts/gpu_check.sh", "--programs", work, "--cpu", "--torch-python", work / "python", "--json", report, *options,
                        env={**os.environ, "COUNT": str(work / "count"), "PATH": f"{work}:{os.environ['PATH']}", **environment})
            self.assertTrue(report.exists(), done.stdout + done.stderr)
            self.assertEqual(list(work.glob(".check.json*")), [])
            self.calls = int((work / "count").read_text())
            return done, json.loads(report.read_text())

    def states(self, found: dict) -> dict:
        return {step["step"]: step["state"] for step in found["steps"]}

    def test_the_three_parts_come_in_order_and_pass(self):
        done, found = self.check()
        self.assertEqual((done.returncode, found["passed"]), (0, True), done.stdout)
        parts = [step["part"] for step in found["steps"]]
        self.assertEqual(sorted(set(parts), key=parts.index), ["quick", "tests", "peer"])
        self.assertEqual([row["batch"] for row in found["throughput"]], [2, 1])
        self.assertEqual(found["backend_tests"]["passed"], 6)  # two shards

    def test_whichever_call_fails_or_hangs_the_file_is_whole_and_other_figures_stand(self):
        self.check()
        calls = self.calls
        self.assertGreater(calls, 25)
        # A hang lasts as long as its limit, so only some: the probe, a timed run, a test, a run of the last part.
        troubles = [("FAIL", number) for number in range(2, calls + 1)] + [("HANG", number) for number in (2, 5, 12, calls)]
        for kind, number in troubles:  # the first call only prints a version
            with self.subTest(kind=kind, number=number):
                done, found = self.check(*(("--pace", "0.1") if kind == "HANG" else ()), **{kind: str(number)})
                bad = [step for step in found["steps"] if step.get("tail") and step["part"] != "what the machine says"]
                self.assertEqual(len(bad), 1, done.stdout)
                self.assertEqual(bad[0]["tail"], ["it fails" if kind == "FAIL" else "it hangs"])
                if bad[0]["step"] == "a device that works":
                    self.assertEqual((done.returncode, found["verdict"]), (1, "the probe did not pass"))
                    self.assertEqual(set(found["diagnosis"]), {"nvidia-smi", "device files", "kernel", "loopback", "loader"})
                    self.assertNotIn("throughput", found)
                    continue
                self.assertEqual(done.returncode, 1 if bad[0]["correctness"] else 0, done.stdout)
                # Without its data nothing is timed, until another part has made them.
                rates = {row["batch"]: row["samples_per_s"] for row in found.get("throughput", [])}
                self.assertEqual(len(rates), 0 if bad[0]["step"] == "full-size data" and bad[0]["part"] == "quick" else 2)
                lost = {2: bad[0]["step"] == "bf16 batch 2", 1: bad[0]["step"] == "bf16 batch 1"}
                for batch, rate in rates.items():
                    self.assertEqual(rate is None, lost[batch])
                # Ours is timed twice beside PyTorch, and once is enough.
                timed = [row["trainmark"] is not None for row in found.get("beside_torch", [])]
                self.assertEqual(timed, [] if bad[0]["step"] == "full-size data" and bad[0]["part"] == "peer" else [True] * 4)

    def test_a_failing_and_a_hanging_shard_leave_what_the_others_said(self):
        done, found = self.check("--part", "tests", "--pace", "0.1", tests=f"""{self.TESTS}
if [ "$GTEST_SHARD_INDEX" = 1 ]; then echo "[  FAILED  ] Backends/BackendPool.Wrong/CudaF32 (1 ms)"; exec sleep 100; fi""")
        self.assertEqual(done.returncode, 1)
        self.assertEqual((found["backend_tests"]["passed"], found["backend_tests"]["failed"]), (6, ["Backends/BackendPool.Wrong/CudaF32"]))
        self.assertEqual(self.states(found)["bf16 trains two epochs"], "passed")

    def test_tests_that_match_nothing_have_not_passed(self):
        _, found = self.check("--part", "tests", tests="exit 0")
        self.assertEqual(self.states(found)["backend tests"], "failed")

    def test_steps_that_were_not_captured_are_a_failed_step_with_its_reason(self):
        done, found = self.check("--part", "quick", CAPTURE=", steps not captured: the driver said no")
        self.assertEqual(done.returncode, 1)
        step = next(each for each in found["steps"] if each["step"] == "bf16 batch 2")
        self.assertEqual((step["state"], step["correctness"]), ("failed", True))
        self.assertIn("the driver said no", step["note"])
        self.assertIsNotNone(found["throughput"][0]["samples_per_s"])

    def test_plans_that_are_not_taken_are_counted(self):
        done, found = self.check("--part", "quick", REFUSED="another device")
        self.assertGreater(found["plans_made_anew"]["count"], 5)
        self.assertIn("another device", found["plans_made_anew"]["first"][0])
        self.assertIn("made anew; the first: trainmark: x.plan", done.stdout)

    def test_a_part_whose_budget_is_spent_leaves_the_rest_out(self):
        _, found = self.check("--part", "tests", "--pace", "0.05", tests="exec sleep 100", HANG_FROM="3")
        self.assertIn("left out", self.states(found).values())

    def test_figures_of_a_step_are_printed_and_kept(self):
        done, found = self.check("--part", "quick")
        row = found["throughput"][0]
        self.assertEqual((row["upload_ms"], row["upload_exposed_ms"]), (50, 12.5))
        self.assertIn("bf16 batch 2, node by node: 8.000 ms; optimizer 25.0%, all-reduce 0.0% of them; the longest: conv1 75.0%, update 25.0%",
                      done.stdout)
        self.assertIn("upload 50.00 ms a step, 12.50 ms of it not hidden", done.stdout)
        self.assertIn("bf16 batch 2, engines timed:", done.stdout)
        self.assertEqual(found["engine_alternatives"],
                         [{"graph": "conv large", "engines_ms": {"eng7 k1=2": 0.5, "eng1": 0.4, "eng3": None}},
                          {"graph": "conv small", "engines_ms": {"eng7 k1=2": 0.5, "eng1": 0.1, "eng3": None}}])
        self.assertIn("conv large: eng7 k1=2 0.500 ms, eng1 0.400 ms, eng3 - ms", done.stdout)

    def test_determinism_costs_what_a_step_with_it_takes_over_one_before_and_one_after(self):
        done, found = self.check("--part", "peer")
        cost = found["deterministic_cost"]
        self.assertEqual((cost["batch"], len(cost["plain_runs"])), (2, 2))
        self.assertGreater(cost["plain_runs"][0], cost["plain_runs"][1])
        self.assertAlmostEqual(cost["step_ratio"], 1.5, delta=0.001)  # either plain run alone would be off by more
        self.assertIn("a step takes 1.50 times as long as without", done.stdout)

    def test_a_peer_that_is_cut_off_keeps_the_forms_that_it_has_measured(self):
        line = '{"best": "graph", "samples_per_s": 0.5, "forms": {"graph": 0.5}}'
        _, found = self.check("--part", "peer", "--pace", "0.1", torch=f"""case "$1" in -c) exit 0 ;; *ceilings*) echo '{{"copy_gb_per_s": 2}}'; exit 0 ;; esac
echo '{line}'; echo '{{"best": "com'; exec sleep 100""")
        row = found["beside_torch"][0]
        self.assertEqual((row["torch"], row["torch_best_form"]), (0.5, "graph"))
        self.assertAlmostEqual(row["ratio"], row["trainmark"] / 0.5)
        self.assertEqual(found["ceilings"], {"copy_gb_per_s": 2})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
