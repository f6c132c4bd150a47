#!/usr/bin/env python3
"""Subcommands that need no MPI: what they print, their exit codes, and that their help teaches."""
import gzip
import json
import math
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from program import ROOT, call, command_tree

COMMANDS = [path for path in command_tree() if path]


class Commands(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="trainmark-cli-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def write(self, text: str) -> pathlib.Path:
        path = self.folder / "config.json"
        path.write_text(text)
        return path

    def expect(self, done, code: int, *words):
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        for word in words:
            self.assertIn(word, done.stdout + done.stderr)

    def test_every_help_has_purpose_examples_and_exit_codes(self):
        for command in COMMANDS:
            with self.subTest(command):
                done = call(*command.split(), "--help")
                self.expect(done, 0, "Usage: trainmark " + command, "Examples:", "Exit codes")
                self.assertEqual(done.stderr, "")
                self.assertLessEqual(max(map(len, done.stdout.splitlines())), 130)

    def test_the_overview_lists_all_exit_codes(self):
        self.expect(call("--help"), 0, "128+n", "124", "75", "requeue")

    def test_the_version_names_build_and_libraries(self):
        done = call("--version")
        self.expect(done, 0, "trainmark 0.", "MPI yes", "CUDA ", "oneDNN", "libmpi", "libhdf5", "compiler")

    def test_wrong_command_lines_end_with_2_and_point_to_the_help(self):
        for line in ("", "rum", "data", "data make", "run", "run --nope", "check", "schema extra", "plan x --ranks 0",
                     "data generate x --gzip 12", "data generate x --layout tar", "completion fish", "validate x --set",
                     "run x --profile-steps 0:3", "run x --profile-steps 3:2", "run x --profile-steps -1", "run x --profile-steps two"):
            with self.subTest(line):
                done = call(*line.split())
                self.expect(done, 2, "trainmark: error: ", "--help")
                self.assertEqual(done.stdout, "")

    def test_an_unknown_subcommand_is_named_with_those_that_exist(self):
        self.expect(call("rum"), 2, '"rum" is no subcommand', "run, stage, validate")
        self.expect(call("rum", "--help"), 2, '"rum" is no subcommand')

    def test_words_that_are_not_expected_are_named_as_they_were_written(self):
        self.expect(call("run", "c.json", "--ste", "train.steps=5", "more"), 2, "not expected: --ste train.steps=5 more;")
        self.expect(call("data", "verify", "f", "--foo", "--bar"), 2, "not expected: --foo --bar;")

    def test_validate_says_whether_the_data_were_looked_at(self):
        path = self.write('{"data": {"train": "t", "validation": "v"}}')
        self.expect(call("validate", path), 0, "valid; the data were not looked at (--ranks N does)")
        self.assertEqual(json.loads(call("validate", path, "--json").stdout)["note"], "the data were not looked at (--ranks N does)")

    def test_bad_configs_end_with_2(self):
        cases = {"{": "not JSON", "": "not JSON", '{"sed": 1}': "did you mean /seed?", '{"seed": 1,\n"seed": 2}': "duplicate key",
                 '{"seed": "a"}': "must be a whole number", '{"train": {"global_batch": -4}}': "-4 is out of range"}
        for command in ("validate", "plan", "run"):
            for text, words in cases.items():
                with self.subTest(command=command, text=text):
                    self.expect(call(command, self.write(text)), 2, "trainmark: error: ", "config.json:", words)
            self.expect(call(command, self.folder / "missing.json"), 2, "missing.json", "No such file")
            self.expect(call(command, self.folder), 2, "is a folder; name the config in it")

    def test_validate_reports_everything_at_once_also_as_json(self):
        path = self.write('{"seed": -1, "nmae": "x",\n"train": {"until": "epoch"}}')
        done = call("validate", path, "--json")
        self.expect(done, 2)
        report = json.loads(done.stdout)
        self.assertFalse(report["valid"])
        self.assertEqual(len(report["complaints"]), 5, report)

    def test_validate_counts_the_complaints(self):
        done = call("validate", self.write('{"seed": -1, "nmae": "x", "data": {"train": "t", "validation": "v"}}'))
        self.expect(done, 2, "/seed", "/nmae", "config.json: 2 complaints")

    def test_validate_checks_a_launch(self):
        path = self.write('{"data": {"train": "none", "validation": "none", "train_samples": 64, "validation_samples": 8}, '
                          '"train": {"global_batch": 16}}')
        self.expect(call("validate", path, "--ranks", 4), 0, "valid", "not here")
        self.expect(call("validate", path, "--ranks", 3), 2, "/train/global_batch", "3 ranks")
        for nodes in (5, 8):
            self.expect(call("validate", path, "--ranks", 4, "--nodes", nodes), 2, f"--nodes: {nodes} nodes for 4 ranks")
        self.expect(call("validate", path, "--ranks", 4, "--nodes", 4), 0)

    def test_plan_bounds_a_device_and_calls_it_a_bound(self):
        floor = {}
        for device, precision in (("h200", "bf16"), ("h200", "fp32"), ("a100", "bf16")):
            done = call("plan", ROOT / "configs/cosmoflow/node.json", "--json", "--device", device, "--set", f"train.precision={precision}")
            self.expect(done, 0)
            prediction = json.loads(done.stdout)["prediction"]
            self.assertIn("never a measurement", prediction["kind"])
            self.assertRegex(prediction["plans"], "never executed|not plan-checked")
            floor[device, precision] = prediction["step_seconds_at_least"]
            self.assertAlmostEqual(floor[device, precision], sum(node["seconds"] for node in prediction["nodes"]))
        # conv2's forward pass is 927.7 GMAC over 64 samples, beyond what memory bounds: 2 x 927.7e9 / 989.4e12 s.
        self.assertGreater(floor["h200", "bf16"], 0.001875 * 3)
        self.assertGreater(floor["h200", "fp32"], floor["h200", "bf16"])
        self.assertGreater(floor["a100", "bf16"], floor["h200", "bf16"])
        self.expect(call("plan", ROOT / "configs/cosmoflow/node.json", "--device", "h900"), 2, "h900", "a100", "h200")

    def test_plan_shows_the_rate_over_a_run(self):
        done = call("plan", ROOT / "configs/deepcam/closed_2048.json", "--schedule", "--json", env={"TRAINMARK_DATA": "/some"})
        rates = {point["step"]: point["rate"] for point in json.loads(done.stdout)}
        self.assertAlmostEqual(rates[399], 0.9975 * 0.0055)
        self.assertAlmostEqual(rates[1199], 0.9975 * 0.0055)
        self.assertAlmostEqual(rates[1200], 0.09975 * 0.0055)
        drawn = call("plan", ROOT / "configs/cosmoflow/closed_512.json", "--schedule", env={"TRAINMARK_DATA": "/some"}).stdout
        self.assertRegex(drawn, "\n +19  0.024 +#{50}\n +20  0.012 +#{25}\n")

    def test_plan_lays_the_batch_of_81920_out_on_paper(self):
        done = call("plan", ROOT / "configs/resnet50/fujitsu_81920.json", "--ranks", 2048, "--device", "a100", "--reader-rate", 500, "--json",
                    env={"TRAINMARK_DATA": "/some"})
        self.expect(done, 0)
        plan = json.loads(done.stdout)
        self.assertEqual((plan["local_batch"], plan["steps_per_epoch"], plan["steps_at_most"]), (40, 16, 1440))
        self.assertEqual((plan["parameters"], plan["parameter_tensors"], plan["forward_macs_per_sample"]), (25557032, 161, 4089184256))
        # Groups of 3, 21, 57 and 80 tensors from the output on in fp16; in fp32 the loss in front, which is none, and norms' 106 tensors last.
        self.assertEqual([(bucket["tensors"], bucket["wire"]) for bucket in plan["buckets"]],
                         [*((tensors, "fp16") for tensors in (2, 7, 19, 27)), (106, "fp32")])
        sent = 2 * (25557032 - 53120) + 4 * 53120
        self.assertEqual(sum(bucket["bytes"] for bucket in plan["buckets"]), sent)
        self.assertAlmostEqual(plan["all_reduce_sent_bytes_per_rank"], 2 * 2047 / 2048 * (sent + 4))
        self.assertEqual(plan["state_bytes"], 4 * (3 * 25557032 + 1 + 2 * 26560))
        self.assertTrue(any("0.749 is not the benchmark's 0.759" in note for note in plan["notes"]), plan["notes"])
        self.assertTrue(any("81920 is above the largest reference convergence point, 67840" in note for note in plan["notes"]))
        # 24.3 GFLOP an image: a device's ceiling of 312 TFLOP/s allows for less than 12,840 images/s.
        seconds = plan["prediction"]["step_seconds_at_least"]
        self.assertGreater(seconds, 40 * 24.3e9 / 312e12)
        self.assertEqual(plan["prediction"]["readers_per_device"], math.ceil(40 / seconds / 500))

    def test_plan_counts_gradients_as_they_travel(self):
        plans = {wire: json.loads(call("plan", ROOT / "configs/resnet50/batch_32768.json", "--ranks", 512, "--json", "--set", f"train.wire={wire}",
                                       env={"TRAINMARK_DATA": "/some"}).stdout) for wire in ("fp32", "bf16", "fp16")}
        for wire in ("bf16", "fp16"):
            buckets = plans[wire]["buckets"]
            # Of the last bucket (norms, in fp32) four bytes an element, of all others two; the loss is no bucket.
            self.assertEqual((buckets[-1]["bytes"], plans[wire]["wire"]), (4 * 53120, wire))
            self.assertEqual(sum(bucket["bytes"] for bucket in buckets[:-1]), 2 * (25557032 - 53120))
            self.assertEqual([(bucket["tensors"], bucket["wire"]) for bucket in buckets],
                             [*((tensors, wire) for tensors in (2, 7, 19, 27)), (106, "fp32")])
            self.assertTrue(any(f"in {wire} and are rounded" in note for note in plans[wire]["notes"]))
        self.assertEqual(sum(bucket["bytes"] for bucket in plans["fp32"]["buckets"]), 4 * (25557032 + 1))

    def test_plan_counts_steps_only_as_far_as_the_config_bounds_them(self):
        path = self.write('{"data": {"train": "t", "validation": "v", "train_samples": 192}, "train": {"epochs": 3, "steps": 7}}')
        for until, most in (("epochs", 9), ("target", 9), ("steps", 7), ("seconds", None)):
            plan = json.loads(call("plan", path, "--set", f"train.until={until}", "--json").stdout)
            self.assertEqual((plan["steps_per_epoch"], plan["steps_at_most"]), (3, most), until)
        unknown = self.write('{"data": {"train": "t", "validation": "v"}}')
        plan = json.loads(call("plan", unknown, "--json").stdout)
        self.assertEqual((plan["steps_per_epoch"], plan["steps_at_most"]), (None, None))

    def test_plan_draws_a_polynomial(self):
        path = self.write('{"data": {"train": "t", "validation": "v"}, "schedule": {"by": "polynomial", "rate": 13, "warmup_steps": 540, '
                          '"decay_steps": 780, "power": 2.2, "end_rate": 0.0325}}')
        rates = {point["step"]: point["rate"] for point in json.loads(call("plan", path, "--schedule", "--json").stdout)}
        self.assertEqual(rates[0], 0)
        self.assertAlmostEqual(rates[539], 13 * 539 / 540)
        self.assertEqual(rates[540], 13)
        self.assertAlmostEqual(rates[1320], 0.0325)
        self.assertRegex(call("plan", path, "--schedule").stdout, "\n +540  13 +#{50}\n")

    def test_plan_draws_a_tangent(self):
        path = self.write('{"data": {"train": "t", "validation": "v"}, "schedule": {"by": "tanh", "rate": 2, "warmup_steps": 100, '
                          '"decay_steps": 750}}')
        rates = {point["step"]: point["rate"] for point in json.loads(call("plan", path, "--schedule", "--json").stdout)}
        self.assertEqual((rates[0], max(rates)), (0, 850))
        self.assertAlmostEqual(rates[100], 1 - math.tanh(-6))
        self.assertAlmostEqual(rates[850], 1 - math.tanh(3))

    def test_plan_scales_rates_with_the_batch(self):
        path = self.write('{"data": {"train": "t", "validation": "v"}, "schedule": {"by": "polynomial", "rate": 0.128, "decay_steps": 90, '
                          '"base_batch": 256}}')
        for batch, law, peak in ((256, "linear", 0.128), (4096, "linear", 2.048), (4096, "root", 0.512)):
            settings = ("--set", f"train.global_batch={batch}", "--set", f"schedule.batch_scaling={law}")
            rates = json.loads(call("plan", path, "--schedule", "--json", *settings).stdout)
            self.assertAlmostEqual(rates[0]["rate"], peak)
            self.assertIn(f"0.128 as written for a batch of 256, is {peak} at {batch} ({law})", call("plan", path, "--schedule", *settings).stdout)

    def test_a_warm_up_that_training_does_not_finish_is_told_with_both_numbers(self):
        path = self.write('{"data": {"train": "t", "validation": "v", "train_samples": 192}, "train": {"until": "epochs", "epochs": 3}, '
                          '"schedule": {"by": "polynomial", "rate": 0.5, "warmup_steps": 10}}')
        told = "/schedule/warmup_steps: the warm-up takes 10 steps, and training has 9: the rate gets to 0.4, and not to 0.5"
        for command in (["validate"], ["plan"], ["plan", "--schedule"]):
            self.expect(call(*command, path), 0, told)
            for enough in ("train.epochs=4", "train.until=seconds"):
                self.assertNotIn("warm-up takes", "".join(call(*command, path, "--set", enough).stdout))
        self.assertIn(told, " ".join(json.loads(call("validate", path, "--json").stdout)["warnings"]))
        self.assertIn(told, " ".join(json.loads(call("plan", path, "--json").stdout)["notes"]))
        self.assertEqual(call("validate", path, "--quiet").stderr, "")

    def test_plan_counts_the_memory_in_which_samples_are_kept(self):
        def plan(config: str, mib, *options: str) -> str:
            done = call("plan", ROOT / "configs" / config, "--set", f"load.memory_mib={mib}", *options, env={"TRAINMARK_DATA": "/some"})
            self.expect(done, 0)
            return done.stdout

        without, kept, left = (json.loads(plan("resnet50/tiny.json", mib, "--json")) for mib in (0, 512, "auto"))
        self.assertEqual((without["kept_bytes"], kept["kept_bytes"], left["kept_bytes"]), (0, 512 << 20, None))
        self.assertEqual(kept["memory_bytes_per_rank"] - without["memory_bytes_per_rank"], 512 << 20)
        self.assertEqual(left["memory_bytes_per_rank"], without["memory_bytes_per_rank"])
        self.assertNotIn("kept samples", plan("resnet50/tiny.json", 0))
        self.assertIn("kept samples     512.0 MiB at most, on the host: an evaluation's, and decoded images", plan("resnet50/tiny.json", 512))
        self.assertIn("kept samples     512.0 MiB at most, on the host: 31 of 16.00 MiB, an evaluation's first", plan("cosmoflow/node.json", 512))
        self.assertIn('(load.memory_mib "auto"), not counted', plan("cosmoflow/node.json", "auto"))

    def test_plan_counts_the_reference_network(self):
        done = call("plan", ROOT / "configs/cosmoflow/node.json", "--json", "--ranks", 4)
        self.expect(done, 0)
        plan = json.loads(done.stdout)
        self.assertEqual(plan["parameters"], 8907556)
        self.assertEqual(plan["parameter_tensors"], 16)
        self.assertEqual(plan["forward_macs_per_sample"], 34431049984)
        self.assertAlmostEqual(plan["training_gflop_per_sample"], 192.1, places=1)
        self.assertEqual(plan["local_batch"], 16)
        self.assertEqual(sum(bucket["bytes"] for bucket in plan["buckets"]), 4 * (8907556 + 1))  # the loss travels along
        self.assertAlmostEqual(plan["all_reduce_sent_bytes_per_rank"], 2 * 3 / 4 * 4 * (8907556 + 1))  # a ring of four
        self.assertEqual(plan["state_bytes"], 4 * (3 * 8907556 + 1))
        self.assertEqual(plan["input_bytes"], 2 * 5 * 16 * (128**3 * 4 * 2 + 4 * 4))  # two loaders, four batches ahead and one in use
        self.assertEqual(plan["memory_bytes_per_rank"], plan["state_bytes"] + plan["input_bytes"] + plan["activation_pool_bytes"])
        self.assertGreater(plan["activation_unshared_bytes"], plan["activation_pool_bytes"])

    def test_plan_of_thousands_of_ranks_needs_no_machine(self):
        done = call("plan", ROOT / "configs/cosmoflow/node.json", "--ranks", 4096, "--set", "train.global_batch=8192")
        self.expect(done, 0, "4096 rank(s), 2 sample(s) each", "8907556 in 16 tensors", "conv2.backward_weights")
        self.expect(call("plan", ROOT / "configs/cosmoflow/node.json", "--ranks", 7), 2, "64 is not divisible by 7 ranks")

    def test_plan_of_a_step_in_parts_is_of_the_whole_step(self):
        def plan(parts: int) -> dict:
            done = call("plan", ROOT / "configs/cosmoflow/node.json", "--json", "--device", "h200", "--set", "train.precision=bf16",
                        "--set", "train.global_batch=16", "--set", f"train.gradient_accumulation_steps={parts}")
            self.expect(done, 0)
            return json.loads(done.stdout)

        whole, parts = plan(1), plan(4)
        self.assertEqual((whole["local_batch"], parts["local_batch"]), (16, 4))  # of 32 a tensor has too many elements for a device
        for figures in (whole, parts):
            self.assertEqual(sum(node["flops"] for node in figures["nodes"]), figures["step_flops_per_rank"])
            prediction = figures["prediction"]
            self.assertAlmostEqual(sum(node["seconds"] for node in prediction["nodes"]), prediction["step_seconds_at_least"], 12)
        self.assertEqual(whole["training_macs_per_sample"], parts["training_macs_per_sample"])
        conv1 = [next(node for node in figures["nodes"] if node["node"] == "conv1") for figures in (whole, parts)]
        self.assertEqual(conv1[0]["flops"], conv1[1]["flops"])
        self.assertEqual(conv1[0]["parameters"], conv1[1]["parameters"])
        self.assertEqual(sum(node["op"] == "Accumulate" for node in parts["nodes"]), len(parts["buckets"]) + 1)
        self.assertEqual(parts["state_bytes"] - whole["state_bytes"], 4 * (8907556 + 1))  # the gradients' sums, the loss with them
        floors = [{node["node"]: node["flops"] for node in figures["prediction"]["nodes"]} for figures in (whole, parts)]
        matrix = [name for name in floors[0] if name in floors[1] and "conv" in name]
        self.assertGreaterEqual(len(matrix), 5)
        for name in matrix:
            self.assertEqual(floors[0][name], floors[1][name], name)

    def test_whole_numbers_keep_their_digits(self):
        smoke = ROOT / "configs/cosmoflow/smoke.json"
        for digits in ("9007199254740993", "9007199254740993.0", "9.007199254740993e15"):
            resolved = json.loads(call("validate", smoke, "--print", "--set", f"seed={digits}").stdout)
            self.assertEqual(resolved["seed"], 9007199254740993)
        self.expect(call("validate", smoke, "--set", "seed=9223372036854775808"), 2, "/seed: 9223372036854775808 is out of range")
        for option, value in (("--seed", "-1"), ("--seed", "99999999999999999999"), ("--train-samples", "99999999999999999999"),
                              ("--extent", "99999999999999999999"), ("--train-samples", "1e3"), ("--train-samples", "-1")):
            self.expect(call("data", "generate", self.folder / "none", option, value), 2, option)
            self.assertFalse((self.folder / "none").exists())

    def test_plan_refuses_counts_that_64_bits_do_not_hold(self):
        node = ROOT / "configs/cosmoflow/node.json"
        self.expect(call("plan", node, "--json", "--set", f"train.global_batch={10**12}"), 2, "/train/global_batch", "64 bits")
        batch, parts = "train.global_batch=4611686018427387904", "train.gradient_accumulation_steps=4611686018427387904"
        for command in ("plan", "validate"):  # four ranks of so many parts are 2^64, which divided by zero
            self.expect(call(command, node, "--ranks", 4, "--set", batch, "--set", parts), 2, "/train/global_batch", "out of range")
        figures = json.loads(call("plan", node, "--json", "--set", "train.global_batch=65536").stdout)
        self.assertGreater(figures["step_flops_per_rank"], 2**53)
        self.assertEqual(figures["step_flops_per_rank"], sum(node["flops"] for node in figures["nodes"]))

    def test_plan_follows_overrides(self):
        done = call("plan", ROOT / "configs/cosmoflow/node.json", "--set", "model.kernel=2", "--json")
        self.assertEqual(json.loads(done.stdout)["parameters"], 5597604)

    def test_a_config_is_read_from_a_pipe_but_none_is_waited_for(self):
        smoke, pipe = ROOT / "configs/cosmoflow/smoke.json", self.folder / "pipe.json"
        os.mkfifo(pipe)
        for command in (["validate"], ["plan"], ["sweep"], ["run"]):
            self.expect(call(*command, pipe, timeout=30), 2, "is a pipe that nobody writes to")
        self.expect(call("validate", "/dev/stdin", launcher=("sh", "-c", f'cat "{smoke}" | "$0" "$@"')), 0, "valid")
        packed = self.folder / "config.json"
        for content, words in ((gzip.compress(smoke.read_bytes()), ("is compressed by gzip, not a config", "zcat")),
                               (smoke.read_text().encode("utf-16"), ("is UTF-16 text, not a config", "iconv")),
                               (b"<!DOCTYPE html>", ("is an HTML page, not a config",))):
            packed.write_bytes(content)
            self.expect(call("validate", packed), 2, *words)
        self.expect(call("validate", self.folder), 2, "is a folder; name the config in it")

    def test_check_of_a_missing_file_ends_with_2(self):
        self.expect(call("check", self.folder / "none.log"), 2, "No such file")

    def test_check_of_an_empty_log_ends_with_7(self):
        (self.folder / "empty.log").write_text("")
        self.expect(call("check", self.folder / "empty.log"), 7, "official", "FAILED")
        done = call("check", "--json", self.folder / "empty.log")
        self.assertEqual(done.returncode, 7)
        self.assertFalse(json.loads(done.stdout)[0]["compliant"])

    def log_without(self, key: str) -> pathlib.Path:
        """A sound log without its last record of `key`."""
        lines = (ROOT / "tests/golden/logs/hpc_cosmoflow_open_v3.0.txt").read_text().splitlines(keepends=True)
        del lines[max(i for i, line in enumerate(lines) if f'"key": "{key}"' in line)]
        path = self.folder / "mlperf.log"
        path.write_text("".join(lines))
        return path

    def test_check_of_a_sound_log_ends_with_0(self):
        self.expect(call("check", "--strict", *sorted((ROOT / "tests/golden/logs").glob("hpc_cosmoflow*"))), 0, "SUCCESS", "sound")

    def test_what_the_official_checker_misses_fails_only_if_strict(self):
        path = self.log_without("eval_stop")
        self.expect(call("check", path), 0, "official SUCCESS", ": semantic: ")
        self.expect(call("check", "--strict", path), 7)
        report = json.loads(call("check", "--strict", "--json", path).stdout)[0]
        self.assertEqual((report["compliant"], report["passed"], report["official"]), (True, False, []))
        self.assertGreater(report["semantic"][0]["line"], 0)

    def test_a_run_that_never_trained_is_left_out_of_the_report(self):
        never = self.log_without("run_start").rename(self.folder / "never.log")
        good = ROOT / "tests/golden/logs/hpc_cosmoflow_open_v3.0.txt"
        done = call("report", never, good, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(json.loads(done.stdout)["runs"]), 1)
        self.expect(done, 0, "warning: left out: ", "never.log: has no run_start")
        self.expect(call("report", never), 2, "trainmark: error: ", "never.log: has no run_start")

    def test_a_packed_log_is_named_and_its_text_can_be_piped(self):
        text = (ROOT / "tests/golden/logs/hpc_cosmoflow_open_v3.0.txt").read_bytes()
        packed = self.folder / "mlperf.log.gz"
        packed.write_bytes(gzip.compress(text))
        for command in ("check", "report"):
            self.expect(call(command, packed), 2, "is compressed by gzip", f"zcat FILE | trainmark {command} /dev/stdin")
            self.expect(call(command, "/dev/stdin", launcher=("sh", "-c", 'zcat "$0" | "$@"', str(packed))), 0)

    def test_each_attempt_of_a_file_is_reported_alone(self):
        log = (ROOT / "tests/golden/logs/hpc_cosmoflow_open_v3.0.txt").read_text()
        cut = log[:log.index("eval_stop")]
        (self.folder / "two.log").write_text(cut + "\n" + log.replace(": 17000", ": 17100"))
        page = self.folder / "two.html"
        runs = json.loads(call("report", "--json", "--html", page, self.folder / "two.log").stdout)["runs"]
        alone = json.loads(call("report", "--json", ROOT / "tests/golden/logs/hpc_cosmoflow_open_v3.0.txt").stdout)["runs"][0]
        self.assertEqual([run["attempt"] for run in runs], [2, 1])
        self.assertEqual(runs[0]["figures"]["time to train"], alone["figures"]["time to train"])
        self.assertNotIn("time to train", runs[1]["figures"])
        self.assertIn("attempt 1 of 2", page.read_text())

    def test_a_figure_worse_than_its_tolerance_ends_with_6(self):
        log = (ROOT / "tests/golden/logs/hpc_cosmoflow_open_v3.0.txt").read_text()
        for name, text in (("base", log), ("new", log.replace('"value": 524288', '"value": 500000'))):
            (self.folder / name).mkdir()
            (self.folder / name / "mlperf.log").write_text(text)
        base, new, junit = self.folder / "base", self.folder / "new", self.folder / "junit.xml"
        tolerance = self.folder / "tolerance.json"
        tolerance.write_text('{"samples_per_s_median_epoch": 5, "time_to_train_s": 0}')
        self.expect(call("report", "--compare", base, new, "--tolerance", tolerance), 0, "4.63 % worse, tolerance 5 %", " ok")
        tolerance.write_text('{"samples_per_s_median_epoch": 4}')
        done = call("report", "--compare", base, new, "--tolerance", tolerance, "--junit", junit)
        self.expect(done, 6, "tolerance 4 %", "1 of 1 judged figures are worse")
        self.assertIn('failures="1"', junit.read_text())
        self.expect(call("report", "--compare", base, new, "--tolerance", junit), 2, "is an XML document, not a table of tolerances")
        self.expect(call("report", "--compare", base), 2, "1 paths are given")
        page = self.folder / "page.html"
        self.expect(call("report", "--compare", base, new, "--html", page), 2, "--html excludes --compare")
        self.expect(call("report", base, "--tolerance", tolerance), 2, "--compare")

    def test_a_scale_that_runs_do_not_reach_ends_with_2(self):
        log = ROOT / "tests/golden/logs/hpc_cosmoflow_closed_v3.0.txt"
        self.expect(call("report", log, "--what-if", "nodes=128"), 0, "what if, from", "time to train with staging")
        self.expect(call("report", log, "--what-if", "nodes=128,speed=2"), 2, '"speed" is not known')
        self.expect(call("report", log, "--what-if", "nodes=128,batch=512"), 2, "leaves some of 1024 ranks without a sample")
        self.expect(call("report", log, "--what-if", "nodes=128,batch=2048"), 2, "two local batches")
        both = call("report", log, ROOT / "tests/golden/logs/hpc_deepcam_open_v3.0.txt", "--what-if", "nodes=128")
        self.expect(both, 2, "2 workloads")
        self.expect(call("report", log, "--tiers", "dram=12"), 2, "no unit of bytes")

    def test_one_bad_log_among_good_ones_ends_with_7(self):
        good = ROOT / "tests/golden/logs/hpc_cosmoflow_open_v3.0.txt"
        done = call("check", good, self.log_without("run_start"), "--usage", "hpc", "--ruleset", "3.0.0")
        self.expect(done, 7, "official SUCCESS", "official FAILED", "run_start")
        self.expect(call("check", good, self.folder / "none.log"), 2, "official SUCCESS", "No such file")

    def test_inspect_and_verify_of_what_is_no_dataset_end_with_3(self):
        for command in ("inspect", "verify"):
            self.expect(call("data", command, self.folder / "none"), 3, "does not exist")
            self.expect(call("data", command, self.folder), 3, "trainmark: error: ")

    def test_env_never_shows_secrets(self):
        variables = {"SLURM_JWT": "hush1", "TRAINMARK_API_TOKEN": "hush2", "OMPI_secret": "hush3", "SLURM_KEY": "hush4",
                     "TRAINMARK_PASSWORD": "hush5", "OMP_PROC_BIND": "close", "TRAINMARK_DATA": "/d", "HOME_OF": "hush6"}
        for arguments in (["env"], ["env", "--json"]):
            done = call(*arguments, env=variables)
            self.expect(done, 0, "close", "/d", "cores_usable", "libmpi")
            self.assertNotIn("hush", done.stdout)
        self.assertEqual(json.loads(call("env", "--json", env=variables).stdout)["variables"]["TRAINMARK_DATA"], "/d")

    def test_completion_offers_every_subcommand_and_option(self):
        script = call("completion", "bash").stdout
        probe = script + """
words_for() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _trainmark; echo "${COMPREPLY[@]}"; }
words_for trainmark ""; words_for trainmark data gen; words_for trainmark data generate --sam; words_for trainmark run x --dry
"""
        done = subprocess.run(["bash", "-c", probe], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.folder)
        lines = done.stdout.splitlines()
        for command in COMMANDS:
            self.assertIn(command.split()[0], lines[0])
        self.assertEqual(lines[1:], ["generate", "--samples-per-file", "--dry-run"])
        self.expect(call("completion", "zsh"), 0, "bashcompinit")

    def test_commands_for_login_nodes_start_no_mpi(self):
        broken = {"OMPI_MCA_pml": "none-such", "OMPI_MCA_btl": "none-such"}  # MPI_Init fails with these
        for line in (["schema"], ["env"], ["--version"], ["plan", str(ROOT / "configs/cosmoflow/node.json")],
                     ["validate", str(ROOT / "configs/cosmoflow/node.json")], ["completion", "bash"]):
            with self.subTest(line):
                self.expect(call(*line, env=broken), 0)
        self.assertNotEqual(call("data", "generate", self.folder / "data", env=broken).returncode, 0)  # the probe works


if __name__ == "__main__":
    unittest.main(verbosity=2)
