#!/usr/bin/env python3
"""Submissions that trainmark makes of results, judged by the official package, repository and system checkers; and what it refuses."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARY = os.environ["TRAINMARK_BINARY"]
TOKEN = ":::MLLOG "
GOLDEN = {"cosmoflow": ("hpc_cosmoflow_closed_v3.0.txt", "eval_error", 0.12, 24, 10),
          "deepcam": ("hpc_deepcam_closed_lamb_multistep_v3.0.txt", "eval_accuracy", 0.83, 30, 5),
          "resnet": ("training_resnet_closed_lars_v4.0.txt", "eval_accuracy", 0.76, 60, 5)}
DESCRIPTION = {"host_processors_per_node": "2", "host_processor_core_count": "64", "accelerators_per_node": "8", "accelerator_model_name": "Example GPU"}


def log_of(benchmark: str, number: int, missed: bool = False, note: str = "") -> str:
    """A run of its own seed and start, which converges as slowly as the reference."""
    name, metric, quality, epochs, _ = GOLDEN[benchmark]
    records = [json.loads(line.split(TOKEN, 1)[1]) for line in (ROOT / "tests/golden/logs" / name).read_text().splitlines()]
    head = records[:next(at for at, each in enumerate(records) if each["key"] in ("epoch_start", "block_start"))]
    time = head[-1]["time_ms"]
    body = []

    def add(key, value=None, milliseconds=1, kind="POINT_IN_TIME", **metadata):
        nonlocal time
        time += milliseconds
        body.append({"namespace": "", "time_ms": time, "event_type": kind, "key": key, "value": value, "metadata": {"file": "a", "lineno": 1, **metadata}})

    blocks = benchmark == "resnet"
    for epoch in range(1, epochs + 1):
        scope = {"first_epoch_num": epoch, "epoch_count": 1} if blocks else {"epoch_num": epoch}
        add("block_start" if blocks else "epoch_start", kind="INTERVAL_START", **scope)
        add("eval_start", milliseconds=1000 + number, kind="INTERVAL_START", epoch_num=epoch)
        reached = epoch == epochs and not missed
        add(metric, quality if reached else (0.5 if metric == "eval_error" else 0.1), milliseconds=100, epoch_num=epoch)
        add("eval_stop", kind="INTERVAL_END", epoch_num=epoch)
        add("block_stop" if blocks else "epoch_stop", kind="INTERVAL_END", **scope)
    add("run_stop", kind="INTERVAL_END", status="aborted" if missed else "success")
    records = head + body
    for each in records:
        each["time_ms"] += number * 10_000_000
        if each["key"] == "seed":
            each["value"] = 1000 + number
    if note:
        records.insert(5, {**head[0], "key": "trainmark_note", "value": note})
    return "".join(TOKEN + json.dumps(each) + "\n" for each in records)


class Package(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="trainmark-package-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        (self.folder / "system.json").write_text(json.dumps(DESCRIPTION))

    def run_folder(self, benchmark: str, number: int, text: str = "") -> pathlib.Path:
        folder = self.folder / f"runs/{benchmark}/{number}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mlperf.log").write_text(text or log_of(benchmark, number))
        (folder / "env.json").write_text(json.dumps({"trainmark": {"version": "0.1.0"}, "backend": "cuda (cuDNN)",
                                                     "machine": {"cpu": "Example CPU", "system": "Linux", "memory": "1 kB"}}))
        (folder / "run.json").write_text(json.dumps({"command_line": "trainmark run it.json"}))
        (folder / "config.resolved.json").write_text("{}")
        return folder

    def runs(self, *benchmarks):
        for benchmark in benchmarks:
            for number in range(GOLDEN[benchmark][4]):
                self.run_folder(benchmark, number)

    def call(self, *arguments, expect: int = 0) -> subprocess.CompletedProcess:
        done = subprocess.run([BINARY, "package", *map(str, arguments)], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def package(self, *arguments, expect: int = 0) -> subprocess.CompletedProcess:
        return self.call(self.folder / "runs", "--into", self.folder / "ExampleLab", "--system", "64xnode", "--describe",
                         self.folder / "system.json", *arguments, expect=expect)

    def refused(self) -> str:
        done = self.package(expect=7)
        self.assertEqual(done.stdout, "")
        self.assertFalse((self.folder / "ExampleLab").exists())
        return done.stderr

    def official(self, checker: str, *arguments) -> str:
        """What one of the official checkers says."""
        done = subprocess.run([sys.executable, "-m", f"mlperf_logging.{checker}", *map(str, arguments)], capture_output=True, text=True,
                              timeout=300, cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def passes(self, usage: str, ruleset: str):
        self.assertIn("PACKAGE CHECKER FOUND NO ERRORS, SUCCESS", self.official("package_checker", self.folder / "ExampleLab", usage, ruleset))

    def test_what_is_made_passes_the_official_checkers(self):
        self.runs("cosmoflow", "deepcam")
        done = self.package()
        self.assertEqual((done.stderr, done.stdout.splitlines()[:2]), ("", ["cosmoflow: 10 runs", "deepcam: 5 runs"]))
        self.passes("hpc", "3.0.0")
        top = self.folder / "ExampleLab"
        results = sorted(str(path.relative_to(top)) for path in (top / "results").rglob("*.txt"))
        self.assertEqual(results, sorted(f"results/64xnode/strong/{benchmark}/result_{at}.txt"
                                         for benchmark, count in (("cosmoflow", 10), ("deepcam", 5)) for at in range(count)))
        for at in range(10):  # in the order of their start, byte for byte
            self.assertEqual((top / f"results/64xnode/strong/cosmoflow/result_{at}.txt").read_text(), log_of("cosmoflow", at))
        self.assertNotIn("ERROR", self.official("system_desc_checker", top / "systems/64xnode.json", "hpc", "3.0.0"))
        self.assertNotIn("ERROR", self.official("repo_checker", top, "hpc", "3.0.0"))
        system = json.loads((top / "systems/64xnode.json").read_text())
        self.assertEqual((system["submitter"], system["status"], system["number_of_nodes"], system["host_processor_model_name"], system["framework"]),
                         ("ExampleLab", "Available on-premise", "64", "Example CPU", "trainmark 0.1.0"))
        self.assertIn("trainmark run it.json", (top / "benchmarks/deepcam/64xnode/run_and_time.sh").read_text())
        self.assertIn("nothing found", self.call("--check", top).stdout)

    def test_training_has_no_level_for_scaling(self):
        self.runs("resnet")
        self.assertIn("system/number_of_nodes: is empty; state it with --describe", self.refused())
        (self.folder / "system.json").write_text(json.dumps({**DESCRIPTION, "number_of_nodes": "16"}))
        self.package()
        self.assertTrue((self.folder / "ExampleLab/results/64xnode/resnet/result_4.txt").exists())
        self.passes("training", "4.0.0")

    def test_one_run_that_missed_the_target_counts_as_the_slowest(self):
        self.runs("cosmoflow")
        self.run_folder("cosmoflow", 3, log_of("cosmoflow", 3, missed=True))
        self.assertIn("one of which missed the target", self.package().stdout)
        self.passes("hpc", "3.0.0")
        shutil.rmtree(self.folder / "ExampleLab")
        self.run_folder("cosmoflow", 4, log_of("cosmoflow", 4, missed=True))
        self.assertIn("cosmoflow: 2 runs missed the target", self.refused())

    def test_what_cannot_be_submitted_is_named_all_at_once(self):
        self.runs("cosmoflow", "deepcam")
        self.run_folder("cosmoflow", 0, log_of("cosmoflow", 0, note="generated data: this is not an MLPerf result"))
        self.run_folder("cosmoflow", 1, log_of("cosmoflow", 1).replace('"key": "opt_name"', '"key": "opt_nme"'))
        self.run_folder("deepcam", 2, log_of("deepcam", 1).replace("10000000", "10000001"))
        message = self.refused()
        for words in ("runs/cosmoflow/0", "its data are generated", "runs/cosmoflow/1", "not compliant", "opt_name",
                      "cosmoflow: 8 runs that may be submitted, a score takes 10", "runs/deepcam/2", "has the seed 1001 of"):
            self.assertIn(words, message)
        self.assertEqual(message.count("trainmark: error: "), 1)

    def test_runs_that_differ_or_are_too_many_are_no_score(self):
        self.runs("cosmoflow")
        self.run_folder("cosmoflow", 10)
        self.assertIn("11 runs, a score takes exactly 10", self.refused())
        shutil.rmtree(self.folder / "runs/cosmoflow/10")
        self.run_folder("cosmoflow", 9, log_of("cosmoflow", 9).replace('"global_batch_size", "value": 512', '"global_batch_size", "value": 1024'))
        self.assertIn("its configuration differs", self.refused())
        self.run_folder("cosmoflow", 9, log_of("cosmoflow", 9) + log_of("cosmoflow", 10))
        self.assertIn("several attempts", self.refused())

    def test_a_system_must_be_described(self):
        self.runs("cosmoflow")
        printed = json.loads(self.call(self.folder / "runs", "--print-system").stdout)
        self.assertEqual((len(printed), printed["host_processor_model_name"], printed["host_processor_core_count"]), (33, "Example CPU", ""))
        (self.folder / "system.json").write_text(json.dumps({**DESCRIPTION, "accelerators_per_node": 8, "host_processors_per_node": "two"}))
        message = self.refused()
        for words in ("/accelerators_per_node: must be text, not 8", '/host_processors_per_node: must be a whole number as text, not "two"'):
            self.assertIn(words, message)
        (self.folder / "system.json").write_text('{"coolin": "air"}')
        self.assertIn("did you mean /cooling?", self.package(expect=2).stderr)
        (self.folder / "system.json").write_text('{"cooling": "air", "cooling": "liquid"}')
        self.assertIn('the key "cooling" stands twice', self.package(expect=2).stderr)
        self.assertIn("no name of a folder", self.call(self.folder / "runs", "--into", self.folder / "x", "--system", "a b", expect=2).stderr)
        self.assertIn("--into: is missing", self.call(self.folder / "runs", expect=2).stderr)

    def test_the_check_finds_what_the_official_ones_stumble_over(self):
        self.runs("cosmoflow")
        self.package()
        top = self.folder / "ExampleLab"
        results = top / "results/64xnode/strong/cosmoflow"
        for damage, words in ((lambda: (results / "result_9.txt").unlink(), "has 9 result_*.txt, a score takes 10"),
                              (lambda: (results / "result_9.txt").rename(results / "result_10.txt"), "has no result_9.txt"),
                              (lambda: (results / "result_9.txt").write_text((results / "result_8.txt").read_text()), "has the seed 1008 of another run"),
                              (lambda: (results / "result_9.txt").write_text(re.sub(r'("key": "global_batch_size", "value": )\d+', r"\g<1>7", (results / "result_9.txt").read_text())),
                               "has global_batch_size 7, other runs of cosmoflow have"),
                              (lambda: (top / "systems/64xnode.json").unlink(), "systems/64xnode.json: is missing"),
                              (lambda: (top / "a b").write_text(""), "a blank or a leading dot"),
                              (lambda: shutil.move(results, top / "results/64xnode/cosmoflow"), "must lie in strong/ or weak/"),
                              (lambda: shutil.rmtree(top / "results"), "holds no system's results")):
            with self.subTest(words):
                damage()
                self.assertIn(words, self.call("--check", top, expect=7).stdout)
                shutil.rmtree(top)
                self.package()
        self.assertIn("is no folder", self.call("--check", self.folder / "none", expect=2).stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
