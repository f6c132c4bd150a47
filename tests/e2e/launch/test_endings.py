#!/usr/bin/env python3
"""However a run ends, it ends on all ranks, with a non-zero code and a log that says so."""
import itertools
import json
import os
import pathlib
import signal
import struct
import subprocess
import time
import unittest

from harness import BINARY, MPIRUN, OPEN_MPI, EndToEnd

lets_ranks_end = unittest.skipUnless(OPEN_MPI, "this mpiexec kills ranks at once: nobody is left to close a log")


class Endings(EndToEnd):
    def assert_aborted(self, run):
        self.assertNotEqual(run.code, 0, run.output)
        stops = [event for event in run.events() if event["key"] == "run_stop"]
        self.assertEqual([stop["metadata"]["status"] for stop in stops], ["aborted"], run.output)
        keys = run.keys()
        self.assertEqual(keys.count("epoch_start"), keys.count("epoch_stop"))
        self.assertEqual(list(run.folder.glob(".trainmark-*")), [])
        # Whoever ends a run from outside must not take away what it is.
        self.assertIn("generated data: not an MLPerf result", run.json()["labels"])
        self.assertEqual(run.json()["figures"]["seed"], 11)

    def test_a_loss_that_is_no_number_ends_the_run(self):
        far_too_high = {"base_rate": 1e30, "peak_rate": 1e30}
        for ranks, until in ((0, "steps"), (2, "target")):
            run = self.run_small(name=f"ranks{ranks}", expect=6, ranks=ranks, schedule=far_too_high,
                                 train={"until": until, "steps": 50, "epochs": 50})
            self.assertIn("step 2 (epoch 1): the loss is nan", run.output)
            self.assertEqual(run.table("steps.csv")[-1]["loss"], "nan")
            self.assertEqual(run.json()["status"], "diverged")

    def test_a_metric_that_is_no_number_ends_the_run(self):
        run = self.run_small(expect=6, schedule={"base_rate": 1e30, "peak_rate": 1e30}, train={"global_batch": 64})
        self.assertIn("evaluation of epoch 1: eval_error is nan", run.output)

    @lets_ranks_end
    def test_a_killed_rank_takes_the_others_along(self):
        process = self.start_small(2)
        os.kill(self.rank_pids(process)[1], signal.SIGKILL)
        self.assert_aborted(self.finish(process, timeout=60))

    def test_a_killed_rank_0_leaves_a_log_whose_missing_end_is_named(self):
        process = self.start_small(2)
        os.kill(self.rank_pids(process)[0], signal.SIGKILL)
        run = self.finish(process, timeout=60)
        self.assertNotEqual(run.code, 0)
        self.assertIsNone(run.json()["exit_code"], "nobody was left to say how it ended")
        check = self.trainmark("check", str(run.folder / "mlperf.log"))
        self.assertEqual(check.code, 7, check.output)
        self.assertIn("run_stop", check.output)

    def test_a_rank_that_hangs_is_found_by_the_watchdog(self):
        process = self.start_small(2, watchdog={"step_seconds": 10})
        stopped = self.rank_pids(process)[1]
        os.kill(stopped, signal.SIGSTOP)
        run = self.finish(process, timeout=60)
        self.assert_aborted(run)
        self.assertIn("no progress", run.output)
        self.assertEqual(run.json()["exit_code"], 124)

    def test_a_copy_that_hangs_is_found_by_the_watchdog_and_leaves_no_half_file(self):
        for mode, ranks in itertools.product(("before", "overlap"), (0, 2)):
            target = self.folder / f"target-{mode}{ranks}"
            run = self.run_small(name=f"{mode}{ranks}", expect=124, ranks=ranks, watchdog={"stage_seconds": 2},
                                 stage={"strategy": "replicate", "mode": mode, "target": str(target)},
                                 train={"until": "seconds", "seconds": 600},
                                 env={"LD_PRELOAD": os.environ["TRAINMARK_FAILING_CALLS"], "HANG_WRITE_IN": f"{target}/train/.trainmark-"})
            self.assertIn("no progress for", run.output)
            self.assertIn("in phase 'staging'", run.output)
            self.assertEqual((run.json()["exit_code"], run.json()["status"]), (124, "aborted"))
            self.assertTrue((target / "train").is_dir())
            if OPEN_MPI or ranks == 0:  # else who is second is killed in the midst of this
                self.assertEqual([path.name for path in target.rglob(".trainmark-*")], [])

    @lets_ranks_end
    def test_ctrl_c_closes_the_log(self):
        process = self.start_small(2)
        os.killpg(process.pid, signal.SIGINT)
        self.assert_aborted(self.finish(process, timeout=60))

    @lets_ranks_end
    def test_termination_of_the_launcher_closes_the_log(self):
        process = self.start_small(2)
        process.terminate()
        self.assert_aborted(self.finish(process, timeout=60))

    def test_a_run_that_is_ended_while_it_writes_a_file_leaves_no_half_of_it(self):
        # In its first file, before there is a log; in env.json, beside which the log is closed and run.json written.
        for name, text in (("first", ""), ("environment", '"numa_nodes"')):
            with self.subTest(name):
                self.setUp()
                failing = {"LD_PRELOAD": os.environ["TRAINMARK_FAILING_CALLS"], "HANG_WRITE_IN": "/.trainmark-", "HANG_WRITE_WITH": text}
                process = subprocess.Popen([BINARY, "run", str(self.write_config())], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                           text=True, env={**os.environ, **failing})
                self.addCleanup(process.kill)
                deadline = time.time() + 30
                while not list(self.folder.glob("results/*/*/.trainmark-*")) and time.time() < deadline:
                    time.sleep(0.05)
                time.sleep(0.5)
                self.assertEqual(len(list(self.folder.glob("results/*/*/.trainmark-*"))), 1)
                process.terminate()
                run = self.finish(process, timeout=60)
                self.assertEqual(run.code, 143, run.output)
                self.assertEqual([path.name for path in self.folder.rglob(".trainmark-*")], [])
                if text:
                    self.assertEqual((run.json()["exit_code"], run.json()["status"]), (143, "aborted"))

    def ended_by(self, number):
        """A run without launcher that is sent this signal once it trains."""
        command = [BINARY, "run", str(self.write_config(train={"until": "seconds", "seconds": 100}))]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(process.kill)
        for line in process.stdout:
            if "epoch" in line:
                break
        process.send_signal(number)
        return self.finish(process, timeout=60)

    def test_a_signal_to_a_run_without_launcher_gives_128_plus_its_number(self):
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU, signal.SIGQUIT, signal.SIGALRM):
            with self.subTest(number):
                self.setUp()
                run = self.ended_by(number)
                self.assertEqual(run.code, 128 + number, run.output)
                self.assertEqual((run.json()["exit_code"], run.json()["status"]), (128 + number, "aborted"))
                self.assert_aborted(run)

    def test_a_run_that_is_ended_from_outside_prints_its_one_document(self):
        forever = {"until": "seconds", "seconds": 200}
        for number, code, changes in ((signal.SIGTERM, 143, {"train": forever}), (signal.SIGSEGV, 139, {"train": forever}),
                                      (None, 124, {"train": forever, "watchdog": {"step_seconds": 0.001}})):
            with self.subTest(number):
                self.setUp()
                process = subprocess.Popen([BINARY, "run", "--json", str(self.write_config(**changes))], text=True,
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
                self.addCleanup(self.kill_session, process)
                if number:
                    log = self.folder / "results"
                    while not any("epoch_start" in path.read_text() for path in log.glob("*/*/mlperf.log")):
                        self.assertIsNone(process.poll())
                        time.sleep(0.05)
                    process.send_signal(number)
                output, errors = process.communicate(timeout=60)
                told = json.loads(output)
                self.assertEqual((told["exit_code"], told["code"]), (code, code), errors)
                record = json.loads(next((self.folder / "results").glob("*/*/run.json")).read_text())
                self.assertEqual((record["exit_code"], record["message"]), (code, told["error"]))

    def test_a_fault_of_the_program_closes_the_log_and_dies_as_it_would_have(self):
        for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT):
            with self.subTest(number):
                self.setUp()
                run = self.ended_by(number)
                self.assertEqual(run.code, -number, run.output)
                self.assertEqual((run.json()["exit_code"], run.json()["status"]), (128 + number, "aborted"))
                self.assert_aborted(run)

    @lets_ranks_end
    def test_a_batch_system_s_warning_to_all_ranks_closes_the_log(self):
        process = self.start_small(2)
        process.send_signal(signal.SIGUSR2)  # mpirun passes it on
        self.assert_aborted(self.finish(process, timeout=60))

    def test_a_run_that_diverges_ends_on_all_ranks_whatever_it_was_to_end_by(self):
        lost = {"schedule": {"base_rate": 1e30, "peak_rate": 1e30}}
        for ranks, until in ((0, "epochs"), (0, "seconds"), (2, "steps"), (2, "target")):
            run = self.run_small(ranks=ranks, expect=6, name=f"{until}{ranks}", train={"until": until, "epochs": 50, "steps": 400}, **lost,
                                 results={"folder": str(self.folder / until)})
            run.results = self.folder / until
            record = run.json()
            self.assertEqual((record["status"], record["exit_code"]), ("diverged", 6))
            self.assertRegex(record["message"], r"^step \d+ \(epoch \d+\): the loss is (nan|inf) ")
            self.assertEqual(run.output.count("the run has diverged"), 1, run.output)
            self.assertIn("/schedule/peak_rate", run.output)
            last = run.table("steps.csv")[-1]
            self.assertIn(last["loss"], ("nan", "inf"))
            self.assertTrue(record["message"].startswith(f"step {last['step']} "), (record["message"], last))
            self.assert_aborted(run)

    def test_a_run_that_diverges_goes_on_if_asked_to_and_says_so(self):
        run = self.run_small(train={"until": "epochs", "epochs": 2, "on_divergence": "continue"}, options=["--json"],
                             schedule={"base_rate": 1e30, "peak_rate": 1e30})
        record = run.json()
        self.assertEqual((record["status"], record["exit_code"], record["figures"]["steps"]), ("fixed_work_done", 0, 16))
        bad = [row["step"] for row in run.table("steps.csv") if row["loss"] in ("nan", "inf")]
        self.assertGreater(len(bad), 0)
        self.assertEqual(record["figures"]["losses_not_finite"], len(bad))
        message = f"the loss was not finite in {len(bad)} of 16 steps, first in step {bad[0]}"
        self.assertTrue(record["message"].startswith(message), record["message"])
        self.assertIn(f'"diverged": "{message}', run.output)
        self.assertIsNone(record["figures"]["final_metric"])

    def test_a_log_that_the_disk_did_not_keep_ends_the_run_with_its_code(self):
        for name, failing, words in (
                ("closing", {"FAIL_CLOSE_OF": "/mlperf.log"}, "mlperf.log: cannot close the log: Disk quota exceeded"),
                ("hole", {"FAIL_WRITE_OF": "/mlperf.log", "FAIL_WRITE_WITH": '"eval_stop"'},
                 "mlperf.log: cannot write the log: Input/output error")):
            for ranks in (0, 2):
                run = self.run_small(name=f"{name}{ranks}", expect=4, ranks=ranks, train={"epochs": 1},
                                     env={"LD_PRELOAD": os.environ["TRAINMARK_FAILING_CALLS"], **failing})
                self.assertIn(words, run.output)
                self.assertEqual((run.json()["exit_code"], run.json()["status"]), (4, "failed"))
                self.assertIn(words, run.json()["message"])

    def test_ranks_of_different_binaries_refuse_to_start(self):
        other = self.folder / "trainmark"
        content = bytearray(pathlib.Path(BINARY).read_bytes())
        note = content.find(struct.pack("<III", 4, 20, 3) + b"GNU\0")  # the linker's build id: sizes of name and hash, type
        self.assertGreater(note, 0)
        content[note + 16] ^= 1
        other.write_bytes(content)
        other.chmod(0o755)
        config = str(self.write_config())
        done = subprocess.run([*MPIRUN, "-n", "1", BINARY, "run", config, ":", "-n", "1", str(other), "run", config],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        self.assertEqual(done.returncode, 4, done.stdout)
        self.assertIn("rank 1", done.stdout)

    def test_ranks_of_different_commands_refuse_to_start(self):
        config = str(self.write_config())
        done = subprocess.run([*MPIRUN, "-n", "1", BINARY, "run", config, ":", "-n", "1", BINARY, "run", config, "--set", "seed=5"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        self.assertEqual(done.returncode, 4, done.stdout)
        self.assertIn("rank 1", done.stdout)

    def test_more_threads_than_cores_are_warned_about_with_the_cure(self):
        run = self.run_small(ranks=2, backend={"threads": os.cpu_count()}, train={"until": "steps", "steps": 1})
        self.assertIn("warning", run.output)
        self.assertIn("/backend/threads", run.output)


if __name__ == "__main__":
    unittest.main(verbosity=2)
