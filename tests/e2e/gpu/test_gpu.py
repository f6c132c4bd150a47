#!/usr/bin/env python3
"""The bundle for machines with a GPU and its check, tried without one: made, unpacked elsewhere, started with an empty
environment; the check says that there is no device, or passes where there is one."""
import contextlib
import io
import json
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

sys.path.insert(0, str(ROOT / "scripts"))
import gpu_check  # noqa: E402


def call(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=200, **options)


class Bundle(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="trainmark-bundle-")
        cls.work = pathlib.Path(cls.folder.name)
        packed = cls.work / "look.tar.gz"
        cls.made = call(ROOT / "scripts/gpu_bundle.sh", BUILD, packed)
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
        done = call(self.top / "scripts/gpu_check.sh", "--no-timing", "--budget", 120, "--json", report, env=PYTHON)
        found = json.loads(report.read_text())
        if done.returncode != 4:
            self.assertEqual((done.returncode, found["passed"]), (0, True), done.stdout)
            return
        self.assertIn("no device here", done.stdout)
        self.assertIn("/backend/device", done.stdout)
        self.assertEqual(found["verdict"], "no device")


class Throughput(unittest.TestCase):
    def test_the_table_tells_what_an_upload_takes_and_what_of_it_no_step_hides(self):
        check = object.__new__(gpu_check.Check)
        check.torch, check.cpu, check.steps = False, True, gpu_check.Steps(10)
        check.shares = lambda row, settings: None
        figures = {"steps": 4, "upload_s": 0.2, "upload_exposed_s": 0.05}
        check.ours = lambda name, settings: {"samples_per_s": 10.0, "run": {"figures": figures}}
        told = check.throughput_row({}, "bf16", 2, 32)
        self.assertEqual((told["upload_ms"], told["upload_exposed_ms"]), (50, 12.5))
        check.ours = lambda name, settings: {"samples_per_s": None, "run": {}}  # a run that failed
        check.result = {"throughput": [told, check.throughput_row({}, "tf32", 1, 32)]}
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            check.table()
        header, first, second = (line.split() for line in output.getvalue().splitlines()[-3:])
        columns = slice(header.index("upload"), header.index("exposed") + 1)
        self.assertEqual((first[columns], second[columns]), (["50.00", "12.50"], ["-", "-"]), output.getvalue())


class Check(unittest.TestCase):
    """The script's own logic, on programs that only end with a code."""

    def check(self, trainmark: str, tests: str, *options):
        with tempfile.TemporaryDirectory(prefix="trainmark-check-") as folder:
            work = pathlib.Path(folder)
            for name, line in (("trainmark", trainmark), ("backend_ops", tests)):
                (work / name).write_text(f"#!/bin/sh\n{line}\n")
                (work / name).chmod(0o755)
            report = work / "check.json"
            done = call(ROOT / "scripts/gpu_check.sh", "--programs", work, "--cpu", "--no-timing", "--json", report, *options)
            return done, json.loads(report.read_text())

    def states(self, found: dict) -> dict:
        return {step["step"]: step["state"] for step in found["steps"]}

    def test_one_failure_does_not_stop_the_others_and_ends_with_1(self):
        done, found = self.check("exit 0", "echo a test failed; exit 1")
        self.assertEqual((done.returncode, found["passed"]), (1, False), done.stdout)
        states = self.states(found)
        self.assertEqual((states["backend tests"], states["bf16 trains two epochs"]), ("failed", "passed"))
        self.assertIn("| a test failed", done.stdout)

    def test_a_step_that_shows_nothing_has_not_passed(self):
        _, found = self.check("exit 0", "exit 0")  # no report of tests, no hashes to compare
        states = self.states(found)
        self.assertEqual((states["backend tests"], states["the three give the same bits"]), ("failed", "failed"))

    def test_a_step_that_hangs_is_ended(self):
        done, found = self.check("exit 0", "sleep 100", "--budget", "8")
        self.assertEqual(done.returncode, 1)
        step = next(each for each in found["steps"] if each["step"] == "backend tests")
        self.assertRegex(step["note"], "ran past")
        self.assertEqual(self.states(found)["bf16 trains two epochs"], "left out")


class Measurements(unittest.TestCase):
    """What the script makes of step times, on a trainmark that makes them up. PyTorch is not there."""

    FAKE = """#!{python}
import json, pathlib, sys
given = dict(each.split("=", 1) for each in sys.argv if "=" in each)
if given.get("name") == "throughput":
    deterministic = given.get("backend.deterministic") == "true"
    folder = pathlib.Path(given["results.folder"]) / "throughput"
    count = len(list(folder.glob("*"))) if folder.exists() else 0
    (folder / str(count)).mkdir(parents=True)
    if deterministic and {fails}:
        sys.exit(5)
    # Every run is slower than the one before, as on a device that grows warm.
    seconds = (3.0 if deterministic else 2.0) * (1 + 0.01 * count)
    figures = {{"step_median_s": seconds}}
    if "--measure-nodes" in sys.argv:
        figures.update(nodes_s=0.008, nodes_update_share=0.25, nodes_all_reduce_share=0)
        rows = "conv1,ConvBlock,0.006,0.75,1,1\\nupdate,Update,0.002,0.25,1,1\\n"
        (folder / str(count) / "nodes.csv").write_text("node,op,seconds,share,flops,bytes\\n" + rows)
    (folder / str(count) / "run.json").write_text(json.dumps({{"figures": figures}}))
"""

    def measured(self, fails=False):
        with tempfile.TemporaryDirectory(prefix="trainmark-check-") as folder:
            work = pathlib.Path(folder)
            (work / "trainmark").write_text(self.FAKE.format(python=sys.executable, fails=fails))
            (work / "backend_ops").write_text("#!/bin/sh\n")
            for name in ("trainmark", "backend_ops"):
                (work / name).chmod(0o755)
            report = work / "check.json"
            done = call(ROOT / "scripts/gpu_check.sh", "--programs", work, "--cpu", "--torch-python", "/bin/false", "--json", report)
            self.assertTrue(report.exists(), done.stdout + done.stderr)
            return done.stdout, json.loads(report.read_text())

    def test_the_cost_of_determinism_is_printed_and_kept(self):
        printed, found = self.measured()
        cost = found["deterministic_cost"]
        self.assertEqual((cost["batch"], len(cost["plain_runs"])), (2, 2))
        self.assertGreater(cost["plain_runs"][0], cost["plain_runs"][1])
        self.assertAlmostEqual(cost["step_ratio"], 1.5, delta=0.001)  # either plain run alone would be off by more
        self.assertIn("a step takes 1.50 times as long as without", printed)
        self.assertIn("bf16 batch 2, autotuned: trainmark", printed)

    def test_the_operations_that_own_a_step_are_printed_and_kept(self):
        printed, found = self.measured()
        self.assertIn("bf16 batch 2, node by node: 8.000 ms; optimizer 25.0%, all-reduce 0.0% of them; the longest: conv1 75.0%, update 25.0%",
                      printed)
        self.assertEqual([node["node"] for node in found["nodes"]["nodes"]], ["conv1", "update"])

    def test_a_deterministic_run_that_fails_has_no_cost(self):
        printed, found = self.measured(fails=True)
        self.assertIsNone(found["deterministic_cost"]["step_ratio"])
        self.assertRegex(printed, r"deterministic: trainmark - samples/s; a step takes - times")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
