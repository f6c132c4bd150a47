#!/usr/bin/env python3
"""What a user is told when a command is interrupted, loses its terminal, or cannot write its output."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from program import BINARY, MPIRUN, ROOT, call

SMOKE = str(ROOT / "configs/cosmoflow/smoke.json")
TWO = [*MPIRUN, "-n", "2"]


class Endings(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="trainmark-endings-"))
        cls.env = {**os.environ, "TRAINMARK_DATA": str(cls.folder / "data"), "OMP_NUM_THREADS": "1"}
        done = call("data", "generate", cls.folder / "data", "--train-samples", 32, "--validation-samples", 16)
        assert done.returncode == 0, done.stderr

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def setUp(self):
        self.results = pathlib.Path(tempfile.mkdtemp(dir=self.folder))

    def command(self, *options) -> list:
        return [BINARY, "run", SMOKE, "--set", f"results.folder={self.results}", *options]

    def start(self, launcher=(), stderr=subprocess.PIPE, **how) -> subprocess.Popen:
        """A run of a minute in the background; returns once it trains."""
        command = [*launcher, *self.command("--set", "train.until=seconds", "--set", "train.seconds=60")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=self.env, start_new_session=True, **how)
        self.addCleanup(lambda: process.poll() is None and os.killpg(process.pid, signal.SIGKILL))
        self.wait_for("epoch_start", process)
        return process

    def wait_for(self, key, process):
        deadline = time.monotonic() + 60
        while not any(key in log.read_text() for log in self.results.glob("*/*/mlperf.log")):
            self.assertIsNone(process.poll())
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)

    def steps(self) -> list:
        return next(self.results.glob("*/*/steps.csv")).read_text().splitlines()

    def record(self) -> dict:
        return json.loads(next(self.results.glob("*/*/run.json")).read_text())

    def test_an_interrupt_is_named_and_the_results_with_it(self):
        for launcher in ((), TWO):
            with self.subTest(launcher):
                self.setUp()
                process = self.start(launcher)
                process.send_signal(signal.SIGINT)
                _, told = process.communicate(timeout=30)
                self.assertIn("results in " + str(self.results), told)
                if not launcher:  # Open MPI's mpirun shows nothing that ranks say after its own end began
                    self.assertEqual(told.count("trainmark: ended by signal 2 (Interrupt)"), 1, told)
                    self.assertIn("ended by signal 2 (Interrupt)", self.record()["message"])
                self.assertEqual(self.record()["status"], "aborted")

    def test_an_interrupted_generation_says_so(self):
        for attempt in range(10):  # until one was interrupted before it had ended by itself
            command = [BINARY, "data", "generate", str(self.results / f"data-{attempt}"), "--train-samples", "1024"]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            process.stderr.readline()
            process.send_signal(signal.SIGINT)
            told = process.communicate(timeout=120)[1]
            if process.returncode != 0:
                break
        self.assertIn("trainmark: ended by signal 2 (Interrupt)", told)
        self.assertEqual(process.returncode, 130)

    def test_what_a_killed_generation_leaves_the_next_one_removes(self):
        for attempt in range(10):  # until one was killed in the middle of a file
            target = self.results / f"data-{attempt}"
            command = [BINARY, "data", "generate", str(target), "--train-samples", "64", "--validation-samples", "16", "--samples-per-file", "8"]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while process.poll() is None and not list(target.glob("train/.trainmark-*")):
                time.sleep(0.001)
            process.kill()
            process.communicate()
            if list(target.glob("train/.trainmark-*")):
                break
        self.assertTrue(list(target.glob("train/.trainmark-*")), "nothing was left in ten attempts")
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        self.assertEqual([path.name for path in target.rglob(".trainmark-*")], [])

    def test_a_closed_terminal_closes_the_log(self):
        process = self.start()
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=30)
        self.assertEqual(process.returncode, 128 + signal.SIGHUP)
        self.assertEqual(self.record()["exit_code"], 128 + signal.SIGHUP)
        self.assertIn('"status": "aborted"', next(self.results.glob("*/*/mlperf.log")).read_text().splitlines()[-1])

    def test_under_nohup_a_closed_terminal_does_not_end_a_run(self):
        process = self.start(["nohup"])
        process.send_signal(signal.SIGHUP)
        rows = len(self.steps())
        while len(self.steps()) <= rows + 1:  # it trains on
            self.assertIsNone(process.poll())
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM)

    def run_with(self, redirection: str, command=None) -> int:
        """Exit code of a short run (or of `command`) under a shell's redirection."""
        command = command or self.command("--set", "train.steps=2")
        return subprocess.run(["bash", "-c", '"$@" ' + redirection, "bash", *command], env=self.env, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, timeout=120).returncode

    def test_messages_that_cannot_be_written_do_not_end_a_run(self):
        for redirection in ("2>/dev/full", "2>&-", "<&- >&- 2>&-"):
            with self.subTest(redirection):
                self.setUp()
                self.assertEqual(self.run_with(redirection), 0)
                self.assertEqual(self.record()["status"], "fixed_work_done")
                self.assertEqual([path.name for path in self.results.rglob("*.*") if path.is_file() and path.name != "config.resolved.json"
                                  and "global batch" in path.read_text()], [], "messages in a file of the results")

    def test_a_reader_that_leaves_does_not_end_a_run(self):
        done = subprocess.run(["bash", "-c", '"$@" 2>&1 | head -1; echo ${PIPESTATUS[0]}', "bash", *self.command()], env=self.env,
                              stdout=subprocess.PIPE, text=True, timeout=120)
        self.assertEqual(done.stdout.splitlines()[-1], "0")
        self.assertEqual(self.record()["status"], "fixed_work_done")

    def test_output_that_is_lost_is_no_fault_of_the_run(self):
        self.assertEqual(self.run_with(">/dev/full", self.command("--json")), 4)
        self.assertEqual(self.record()["exit_code"], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
