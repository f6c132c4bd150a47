#!/usr/bin/env python3
"""Whole runs on the device double: what a run leaves behind, and each bad situation with its message and exit code."""
import json
import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e" / "launch"))
from harness import BINARY, MPIRUN, EndToEnd, Run, small_config  # noqa: E402

STEPS = 4


class OnDevice(EndToEnd):
    """One rank a device unless a test says otherwise; a few steps of fixed work, of few samples: loops execute the graphs."""
    samples, validation_samples = 32, 10

    def run_device(self, double: str = "", ranks: int = 0, expect: int = 0, options=(), env=None, **changes):
        changes["backend"] = {"device": "cuda", **changes.get("backend", {})}
        changes["train"] = {"until": "steps", "steps": STEPS, "global_batch": 4, **changes.get("train", {})}
        double = ",".join(filter(None, [f"devices={max(1, ranks)}" if "devices=" not in double else "", double]))
        return self.run_small(ranks=ranks, expect=expect, options=options, env={"TRAINMARK_DOUBLE": double, **(env or {})}, **changes)

    def assert_ended(self, run, code: int, *texts):
        """Said on the terminal and in run.json, with the log closed."""
        record = run.json()
        self.assertEqual((record["status"], record["exit_code"]), ("failed", code), run.output)
        for text in texts:
            self.assertIn(text, run.output)
            self.assertIn(text, record["message"])
        stops = [event for event in run.events() if event["key"] == "run_stop"]
        self.assertEqual([stop["metadata"]["status"] for stop in stops], ["aborted"] if stops else [], run.output)
        self.assertNotIn("device double:", run.output)


class Runs(OnDevice):
    def test_fp16_trains_and_leaves_its_loss_scale(self):
        run = self.run_device(train={"precision": "fp16"})
        figures, texts = run.json()["figures"], run.json()["texts"]
        self.assertEqual(figures["steps"], STEPS)
        self.assertGreaterEqual(figures["loss_scale"], 1)
        self.assertEqual(figures["loss_scale"], 65536 / 2 ** figures["skipped_steps"])
        losses = [float(row["loss"]) for row in run.table("steps.csv")]
        self.assertEqual(len(set(losses)), STEPS, losses)
        self.assertRegex(texts["backend"], r"^cuda \(.*compute capability 9\.0.*NCCL 2\.\d+\.\d+\)$")

    def test_gradients_that_travel_in_16_bits_train_as_those_in_32_do(self):
        runs = {}
        for wire, precision in (("fp32", "fp32"), ("bf16", "fp32"), ("fp16", "fp32"), ("fp16", "fp16")):
            folder = self.folder / f"{wire}_{precision}"
            run = self.run_device(ranks=2, train={"precision": precision, "wire": wire}, results={"folder": str(folder)})
            run.results = folder
            runs[wire, precision] = [float(row["loss"]) for row in run.table("steps.csv")]
            self.assertEqual("loss_scale" in run.json()["figures"], wire == "fp16")
        truth = runs["fp32", "fp32"]
        for case, losses in runs.items():
            self.assertEqual(losses == truth, case == ("fp32", "fp32"), case)
            for loss, expected in zip(losses, truth):
                self.assertAlmostEqual(loss / expected, 1, delta=2e-2, msg=case)

    def test_precisions_and_ranks_agree_about_the_first_loss(self):
        first = {}
        for precision, ranks in (("fp32", 0), ("fp32", 2), ("bf16", 0), ("fp16", 2)):
            run = self.run_device(ranks=ranks, train={"precision": precision}, results={"folder": str(self.folder / f"{precision}{ranks}")})
            run.results = self.folder / f"{precision}{ranks}"
            first[precision, ranks] = float(run.table("steps.csv")[0]["loss"])
        cpu = self.run_small(train={"until": "steps", "steps": STEPS, "global_batch": 4}, backend={"device": "cpu"}, results={"folder": str(self.folder / "cpu")})
        cpu.results = self.folder / "cpu"
        expected = float(cpu.table("steps.csv")[0]["loss"])
        for case, loss in first.items():
            self.assertAlmostEqual(loss / expected, 1, delta=1e-5 if case[0] == "fp32" else 2e-2, msg=case)


    def test_a_step_in_parts_over_two_ranks_trains_as_one_part_does(self):
        losses = {}
        for ranks, parts in ((0, 1), (2, 2)):
            run = self.run_device(ranks=ranks, train={"gradient_accumulation_steps": parts, "bucket_mib": 0.01},
                                  results={"folder": str(self.folder / f"parts{parts}")})
            run.results = self.folder / f"parts{parts}"
            self.assertNotIn("not captured", run.json()["texts"]["backend"])
            losses[parts] = [float(row["loss"]) for row in run.table("steps.csv")]
        for one, two in zip(losses[1], losses[2]):
            self.assertAlmostEqual(two / one, 1, delta=1e-5)

    def uploads(self, double: str) -> tuple:
        run = self.run_device(double, train={"steps": 12}, results={"folder": str(self.folder / double)})
        run.results = self.folder / double
        figures = run.json()["figures"]
        self.assertLess(figures["upload_s"], figures["train_s"])
        return figures["upload_exposed_s"], figures["upload_s"]

    def test_training_batches_go_up_from_pinned_memory_and_their_time_is_told(self):
        exposed, seconds = self.uploads("order=lazy,pinned_uploads=1")
        self.assertTrue(0 < exposed < seconds, f"only the first batch of each epoch has no step beside it: {exposed} of {seconds}")

    def test_a_step_that_is_over_hides_no_upload(self):
        exposed, seconds = self.uploads("order=eager")
        self.assertGreater(seconds, 0)
        self.assertEqual(exposed, seconds)


class Capture(OnDevice):
    """A step that cannot be captured is streamed, on all ranks alike, and gives what a captured one does."""

    def losses(self, name: str, double: str = "", ranks: int = 0):
        run = self.run_device(double, ranks=ranks, results={"folder": str(self.folder / name)})
        run.results = self.folder / name
        return run, [row["loss"] for row in run.table("steps.csv")]

    def assert_streamed(self, run, reason: str):
        self.assertRegex(run.json()["texts"]["backend"], f"steps not captured: .*{reason}")
        self.assertRegex(run.output, f"warning: the backend is now .*steps not captured: .*{reason}")

    def test_a_refused_capture_is_said_with_its_reason(self):
        captured, expected = self.losses("captured")
        self.assertNotIn("not captured", captured.json()["texts"]["backend"])
        streamed, losses = self.losses("streamed", "failing_capture=0")
        self.assert_streamed(streamed, "cudaErrorStreamCaptureInvalidated")
        self.assertEqual(losses, expected)

    def test_where_one_rank_cannot_capture_none_does(self):
        _, expected = self.losses("captured", ranks=2)
        for device, reason in ((0, "cudaErrorStreamCaptureInvalidated"), (1, "another rank could not capture")):
            streamed, losses = self.losses(f"streamed{device}", f"failing_capture=0,only_on={device}", ranks=2)
            self.assert_streamed(streamed, reason)
            self.assertEqual(losses, expected)


    def test_where_a_capture_fails_inside_nccl_all_ranks_join_another_communicator_and_stream(self):
        _, expected = self.losses("captured", ranks=2)
        for device, reason in ((0, "unhandled cuda error"), (1, "another rank could not capture")):
            streamed, losses = self.losses(f"streamed{device}", f"failing_in_capture=1,only_on={device}", ranks=2)
            self.assert_streamed(streamed, reason)
            self.assertEqual(losses, expected)


class Alone(OnDevice):
    """A communicator of one rank, where that is asked for."""

    def test_sums_with_itself_change_nothing(self):
        losses = []
        for alone in (False, True):
            run = self.run_device(backend={"nccl_alone": alone}, results={"folder": str(self.folder / str(alone))})
            run.results = self.folder / str(alone)
            self.assertNotIn("not captured", run.json()["texts"]["backend"])
            losses.append([row["loss"] for row in run.table("steps.csv")])
        self.assertEqual(losses[0], losses[1])

    def test_it_is_nccl_that_sums(self):
        failing = "failing_collective=12"
        self.run_device(failing, results={"folder": str(self.folder / "without")})
        run = self.run_device(failing, expect=5, backend={"nccl_alone": True}, train={"steps": 1000})
        self.assert_ended(run, 5, "rank 0 of 1", "remote process exited or there was a network error")


class Determinism(OnDevice):
    def test_a_deterministic_run_names_what_it_does(self):
        run = self.run_device(ranks=2, backend={"deterministic": True})
        texts = run.json()["texts"]
        for text in ("engines that vary left out", "rank 0's plans on all ranks"):
            self.assertIn(text, texts["backend"])
            self.assertIn(text, run.output)
        self.assertEqual(texts["order_of_sums"], "NCCL_ALGO=Ring, NCCL_PROTO=Simple")
        self.assertIn(texts["order_of_sums"], run.output)

    def test_trying_candidates_leaves_no_trace_in_the_results(self):
        losses = []
        for name, autotune in (("plain", False), ("tuned", True)):
            run = self.run_device(backend={"deterministic": True, "autotune": autotune}, results={"folder": str(self.folder / name)})
            run.results = self.folder / name
            self.assertEqual("autotuned" in run.json()["texts"]["backend"], autotune)
            losses.append([row["loss"] for row in run.table("steps.csv")])
        self.assertEqual(losses[0], losses[1])

    def test_what_the_user_chose_for_nccl_stands_and_is_named(self):
        run = self.run_device(backend={"deterministic": True}, env={"NCCL_ALGO": "Tree"})
        self.assertEqual(run.json()["texts"]["order_of_sums"], "NCCL_ALGO=Tree, NCCL_PROTO=Simple")

    def test_other_runs_name_none_of_it(self):
        texts = self.run_device().json()["texts"]
        self.assertNotIn("deterministic", texts["backend"])
        self.assertNotIn("order_of_sums", texts)


class Profiling(OnDevice):
    def ranges(self, *options) -> list:
        run = self.run_device(options=options, env={"NVTX_INJECTION64_PATH": os.environ["RANGES"]})
        self.profiled = run.json()["figures"].get("profiled_steps")
        return [line.removeprefix("range: ") for line in run.output.splitlines() if line.startswith("range: ")]

    def test_profiled_steps_show_every_layer_and_others_none(self):
        plain = self.ranges()
        self.assertIsNone(self.profiled)
        self.assertEqual([name for name in plain if name in ("initialisation", "training epoch 1")], ["initialisation", "training epoch 1"])
        self.assertEqual(plain[-1], "training epoch 1", "a replayed step has no ranges")
        profiled = self.ranges("--profile-steps", "2:3")
        self.assertEqual(self.profiled, 2)
        self.assertEqual(profiled[:len(plain)], plain)
        added = profiled[len(plain):]
        step = added[:len(added) // 2]
        self.assertEqual(added, step * 2)
        for part in ("conv1", "update"):
            self.assertTrue([name for name in step if part in name], step)

    def test_profiled_steps_compute_what_replayed_ones_do(self):
        losses = []
        for name, options in (("replayed", ()), ("profiled", ("--profile-steps", "1:3"))):
            run = self.run_device(options=options, results={"folder": str(self.folder / name)})
            run.results = self.folder / name
            losses.append([row["loss"] for row in run.table("steps.csv")])
        self.assertEqual(losses[0], losses[1])

    def test_what_cannot_be_profiled_is_said(self):
        for wrong in ("0:3", "3:2", "3:", "three"):
            done = self.trainmark("run", str(self.write_config()), "--profile-steps", wrong)
            self.assertEqual(done.code, 2, done.output)
            self.assertIn("range of steps", done.output)
        late = self.run_device(options=("--profile-steps", "9"))
        self.assertIn("no step was profiled", late.output)
        cpu = self.run_device(options=("--profile-steps", "1"), backend={"device": "cpu"})
        self.assertIn("--profile-steps is for devices", cpu.output)


class Sensors(OnDevice):
    def test_power_clocks_and_throttling_stand_in_the_results(self):
        os.symlink(os.environ["SENSORS"], self.folder / "libnvidia-ml.so.1")
        run = self.run_device(env={"LD_LIBRARY_PATH": f"{self.folder}:{os.environ.get('LD_LIBRARY_PATH', '')}"})
        figures = run.json()["figures"]
        self.assertEqual((figures["device_power_mean_rank0_w"], figures["device_power_max_rank0_w"]), (512.5, 512.5))
        self.assertEqual((figures["device_clock_min_rank0_mhz"], figures["device_memory_clock_rank0_mhz"]), (1755, 2619))
        reasons = "hardware thermal slowdown, software power cap"
        self.assertEqual(run.json()["texts"]["device_throttled_by_rank0"], reasons)
        self.assertEqual(run.json()["texts"]["energy_source"].split(" and ")[-1], "the devices' own counters")
        self.assertGreater(figures["energy_devices_j"], 0.5 * 512.5 * figures["run_s"])
        self.assertLess(figures["energy_devices_j"], 1e9, "the difference of two readings")
        row = run.table("ranks.csv")[0]
        self.assertEqual((row["device_power_mean_w"], row["device_clock_min_mhz"], row["device_throttled_by"]), ("512.5", "1755", reasons))

    def test_without_the_library_a_run_has_no_sensors(self):
        run = self.run_device()
        self.assertEqual([name for name in run.json()["figures"] if name.startswith("device_")], [])
        self.assertEqual(run.table("ranks.csv")[0]["device_power_mean_w"], "")


class Environment(OnDevice):
    """Nothing has begun: one message, code 4, no results."""

    def refused(self, double: str, *texts, ranks: int = 0):
        run = self.run_device(double, ranks=ranks, expect=4)
        for text in ("/backend/device: ", *texts):
            self.assertEqual(run.output.count(text), 1, run.output)
        self.assertFalse((self.folder / "results").exists())

    def test_no_device(self):
        self.refused("devices=0", "no CUDA device is visible", "CUDA_VISIBLE_DEVICES")

    def test_no_driver(self):
        self.refused("no_driver=1", "no NVIDIA driver was found", "nvidia-smi")

    def test_driver_too_old(self):
        self.refused("driver_too_old=1", "the driver supports CUDA up to 11.0", "update the driver")

    def test_no_device_is_said_once_for_all_ranks(self):
        self.refused("devices=0", "no CUDA device is visible", ranks=2)

    def test_two_ranks_on_one_device(self):
        self.refused("devices=1", "ranks 0 and 1 of the 2 on node", "would share device 0000:01:00.0", "--gpus-per-task=1", ranks=2)

    def test_auto_takes_the_cpu_where_no_device_can_be_used(self):
        for double in ("devices=0", "no_driver=1", "driver_too_old=1"):
            run = self.run_device(double, backend={"device": "auto"}, results={"folder": str(self.folder / double)})
            run.results = self.folder / double
            self.assertTrue(run.json()["texts"]["backend"].startswith("cpu"), run.output)

    def test_auto_takes_the_device_that_is_there(self):
        run = self.run_device(backend={"device": "auto"})
        self.assertTrue(run.json()["texts"]["backend"].startswith("cuda"), run.output)


class Memory(OnDevice):
    def test_a_state_that_does_not_fit(self):
        run = self.run_device("memory=10000", expect=4)
        self.assert_ended(run, 4, "device memory", "asked for", "use a smaller local batch", "trainmark plan prints the peak")

    def test_activations_that_do_not_fit_are_refused_before_the_clock_starts(self):
        needed = self.run_device(results={"folder": str(self.folder / "fits")})
        needed.results = self.folder / "fits"
        pool = needed.json()["figures"]["activation_pool_mib"] * 2**20
        run = self.run_device(f"memory={int(pool)}", expect=4)
        self.assert_ended(run, 4, "device memory", "MiB asked for")
        self.assertNotIn("run_start", run.keys())


class Failures(OnDevice):
    def test_a_lost_device_ends_the_run_with_what_to_do(self):
        # So late that training has begun: each step of this model launches some dozens of kernels.
        run = self.run_device("failing_launch=600", expect=5, train={"steps": 1000})
        self.assert_ended(run, 5, "an illegal memory access was encountered", "cudaErrorIllegalAddress", "compute-sanitizer")
        self.assertIn("run_start", run.keys())

    def test_a_lost_device_ends_all_ranks(self):
        run = self.run_device("failing_launch=600", ranks=2, expect=5, train={"steps": 1000})
        self.assert_ended(run, 5, "an illegal memory access was encountered")

    def test_an_asynchronous_error_of_nccl_ends_all_ranks(self):
        run = self.run_device("failing_collective=12", ranks=2, expect=5, train={"steps": 1000})
        self.assert_ended(run, 5, "of 2: ", "remote process exited or there was a network error", "look for the first message")
        self.assertIn("run_start", run.keys())

    def hang_in_a_step(self, double: str) -> Run:
        # The sums before training, fewer than that, are the first of each size and the warm-up's.
        run = self.run_device(f"absent_from=12,only_on=1,time_limit=200,says_aborts=1,{double}", ranks=2, expect=124,
                              train={"steps": 1000}, watchdog={"step_seconds": 3})
        record = run.json()
        self.assertEqual((record["status"], record["exit_code"]), ("aborted", 124), run.output)
        self.assertIn("no progress for", record["message"])
        self.assertIn("in phase 'training'", record["message"])
        self.assertIn("look for the rank that does not complain", run.output)
        self.assertEqual([event["metadata"]["status"] for event in run.events() if event["key"] == "run_stop"], ["aborted"])
        self.assertRegex(run.output, "NCCL double: rank [01] of 2 aborts its communicator")
        self.assertNotIn("device double:", run.output)
        return run

    def test_a_peer_that_hangs_in_a_step_is_left_by_the_watchdog_which_aborts_the_communicator(self):
        self.hang_in_a_step("")

    def test_an_abort_that_hangs_does_not_keep_the_watchdog(self):
        run = self.hang_in_a_step("hanging_abort=1")
        # Meanwhile rank 1 has had the error that the abort brings: what it leaves to rank 0 is the watchdog's word all the same.
        word = run.json(".failed-rank-1.json")
        self.assertEqual((word["status"], word["exit_code"]), ("aborted", 124), word)


class UnansweredSum(OnDevice):
    """Its limit is a minute, for which the other tests do not wait: it starts before them and is looked at last."""

    @classmethod
    def begin(cls):
        super().setUpClass()
        cls.results = cls.scratch / "results"
        path = cls.scratch / "config.json"
        path.write_text(json.dumps(small_config(cls.data, cls.results, {"backend": {"device": "cuda"}})))
        cls.output = (cls.scratch / "output").open("w+")
        cls.process = subprocess.Popen([*MPIRUN, "-n", "2", BINARY, "run", str(path)], stdout=cls.output, stderr=cls.output,
                                       env={**os.environ, "TRAINMARK_DOUBLE": "devices=2,time_limit=200,absent_from=0"})

    @classmethod
    def setUpClass(cls):
        """Has begun with the module."""

    def test_a_peer_that_never_comes_is_named_within_the_limit(self):
        self.addCleanup(self.process.kill)
        code = self.process.wait(timeout=150)
        self.output.seek(0)
        run = Run(code, self.output.read(), self.results)
        self.assertEqual(code, 5, run.output)
        self.assert_ended(run, 5, "the first NCCL sum has not ended within 60", "did not come", "NCCL_SOCKET_IFNAME")


def setUpModule():
    if len(sys.argv) < 2 or any("UnansweredSum" in name for name in sys.argv):
        UnansweredSum.begin()


if __name__ == "__main__":
    unittest.main(verbosity=2)
