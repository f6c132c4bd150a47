#!/usr/bin/env python3
"""Figures that commands print: text and JSON tell the same, and both tell what is known from elsewhere."""
import csv
import json
import pathlib
import re
import shutil
import tempfile
import unittest

import h5py
import numpy

from program import ROOT, call

GOOD = ROOT / "tests/golden/logs/hpc_cosmoflow_open_v3.0.txt"
NODE = ROOT / "configs/cosmoflow/node.json"
SMOKE = ROOT / "configs/cosmoflow/smoke.json"


def numbers(line: str) -> list[float]:
    return [float(number) for number in re.findall(r"(?<![\w.-])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.]*[a-z])", line)]


class Figures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="trainmark-figures-"))
        cls.generated = call("data", "generate", cls.folder / "data", "--train-samples", 4, "--validation-samples", 2, "--samples-per-file", 2)
        assert cls.generated.returncode == 0, cls.generated.stderr

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def ok(self, *arguments, **how) -> str:
        done = call(*arguments, **how)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def line(self, text: str, beginning: str) -> str:
        found = [line for line in text.splitlines() if line.startswith(beginning)]
        self.assertEqual(len(found), 1, text)
        return found[0]

    def config(self, document: dict) -> pathlib.Path:
        path = self.folder / "config.json"
        path.write_text(json.dumps({"data": {"train": "none", "validation": "none"}, **document}))
        return path

    # --- plan --------------------------------------------------------------------------------------------------------

    def test_a_plan_lays_the_data_out_over_nodes(self):
        each, train, validation = 128**3 * 4 * 2 + 16, 524288, 65536
        tiers = {"dram": (512 * 2**30, None), "nvme": (3.2e12, 6e9)}
        options = (ROOT / "configs/cosmoflow/closed_512.json", "--device", "h200", "--ranks-per-node", 8, "--nodes", "64,2,10,16",
                   "--tiers", "nvme=3.2TB@6GB,dram=512GiB", "--node-watts", 5000)
        scale = json.loads(self.ok("plan", *options, "--json", env={"TRAINMARK_DATA": "/some"}))["scale"]
        self.assertEqual((scale["dataset_bytes"], scale["epochs_at_most"]), (each * (train + validation), 60))
        self.assertEqual([line["nodes"] for line in scale["lines"]], [2, 10, 16, 64])
        for line, tier in zip(scale["lines"], ("none", "nvme", "nvme", "dram")):
            part = scale["dataset_bytes"] / line["nodes"]
            self.assertEqual((line["ranks"], line["tier"]), (8 * line["nodes"], tier))
            self.assertAlmostEqual(line["shard_bytes_per_node"] / part, 1)
            divides = 512 % line["ranks"] == 0
            self.assertEqual(line["local_batch"], 512 // line["ranks"] if divides else None)
            self.assertEqual(line["epoch_compute_s_unfused"] is not None, divides)
            if tier == "none":
                self.assertEqual((line["stage_group_at_most"], line["epoch_read_s"]), (None, None))
                continue
            capacity, rate = tiers[tier]
            groups = [group for group in range(1, line["nodes"] + 1) if line["nodes"] % group == 0 and part * group <= capacity]
            self.assertEqual(line["stage_group_at_most"], max(groups))
            known = [line["epoch_compute_s_unfused"]] if divides else []
            if rate:
                self.assertAlmostEqual(line["epoch_read_s"], each * train / line["nodes"] / rate)
                known.append(line["epoch_read_s"])
            else:
                self.assertIsNone(line["epoch_read_s"])
            if len(known) < 2:
                for figure in ("epoch_s", "node_hours_at_most_epochs", "energy_kwh_at_most_epochs"):
                    self.assertIsNone(line[figure], "either alone is less than it takes")
                continue
            self.assertEqual(line["epoch_s"], max(known))
            self.assertAlmostEqual(line["node_hours_at_most_epochs"], max(known) * 60 * line["nodes"] / 3600)
            self.assertAlmostEqual(line["energy_kwh_at_most_epochs"], line["node_hours_at_most_epochs"] * 5)
        # Half the samples a rank take at least half the time: parameters are moved all the same.
        computing = {line["nodes"]: line["epoch_compute_s_unfused"] for line in scale["lines"]}
        self.assertGreaterEqual(computing[64] / computing[16], 0.25)
        self.assertLess(computing[64], computing[16])
        rate_of_dram = "how fast a node reads from dram: --tiers dram=SIZE@RATE"
        self.assertEqual([each[:len(rate_of_dram)] for each in scale["not_known"]], [rate_of_dram])
        text = self.ok("plan", *options, env={"TRAINMARK_DATA": "/some"})
        self.assertIn("not known: " + rate_of_dram, text)
        row = self.line(text, "     16 ").split()
        self.assertEqual(row[1:3] + row[4:6], ["128", "4", "nvme", "4"])
        self.assertEqual(float(row[3]), round(scale["dataset_bytes"] / 16 / 2**30, 2))
        self.assertEqual(float(row[6]), round(each * train / 16 / 6e9, 3))

    def test_a_plan_of_data_on_nodes_asks_for_what_it_cannot_know(self):
        jpegs = (ROOT / "configs/resnet50/fujitsu_81920.json", "--tiers", "dram=512GiB")
        refused = call("plan", *jpegs, env={"TRAINMARK_DATA": "/some"})
        self.assertEqual(refused.returncode, 2)
        self.assertIn("--sample-bytes", refused.stderr)
        scale = json.loads(self.ok("plan", *jpegs, "--sample-bytes", 100000, "--json", env={"TRAINMARK_DATA": "/some"}))["scale"]
        self.assertEqual([line["nodes"] for line in scale["lines"]], [2**power for power in range(17)])
        self.assertIsNone(scale["lines"][0]["node_hours_at_most_epochs"], "nothing tells how fast a node is")
        for known, lacking in (({}, "/data/train_samples"), ({"train_samples": 640}, "/data/validation_samples")):
            config = self.config({"data": {"train": "none", "validation": "none", **known}})
            unknown = call("plan", config, "--nodes", 4)
            self.assertEqual((unknown.returncode, unknown.stdout), (2, ""))
            self.assertIn(lacking, unknown.stderr)
        many = call("plan", *jpegs, "--sample-bytes", 1, "--nodes", 2**20, "--ranks-per-node", 4096, env={"TRAINMARK_DATA": "/some"})
        self.assertEqual(many.returncode, 2)
        self.assertIn("--ranks-per-node", many.stderr)

    def test_what_is_no_number_is_none_of_an_options_range(self):
        for options in (("plan", NODE, "--node-watts"), ("plan", NODE, "--sample-bytes"), ("plan", NODE, "--reader-rate"), ("probe", NODE, "--seconds")):
            for value in ("nan", "inf", "-1", "0", "1e308", "1x", ""):
                with self.subTest(option=options[-1], value=value):
                    refused = call(*options, value, env={"TRAINMARK_DATA": "/some"})
                    self.assertEqual((refused.returncode, refused.stdout), (2, ""), refused.stderr)
                    self.assertIn(f'"{value}" is no number from ', refused.stderr)

    def test_a_plan_reads_only_the_samples_that_an_epoch_takes(self):
        config = self.config({"workload": "deepcam", "data": {"train": "none", "validation": "none", "train_samples": 100, "validation_samples": 10},
                              "train": {"global_batch": 64}})
        scale = json.loads(self.ok("plan", config, "--json", "--nodes", 1, "--tiers", "nvme=1TB@1GB"))["scale"]
        self.assertEqual(scale["lines"][0]["epoch_read_s"], scale["dataset_bytes"] / 110 * 64 / 1e9)
        self.assertEqual(scale["not_known"], ["how fast a rank computes: --device, e.g. h200"])
        whole = json.loads(self.ok("plan", config, "--json", "--nodes", 1, "--tiers", "nvme=1TB@1GB,dram=1KiB", "--device", "h200"))["scale"]
        self.assertEqual(whole["not_known"], [], "a tier that holds nothing needs no rate")
        bare = json.loads(self.ok("plan", config, "--json", "--nodes", 1, "--device", "h200"))["scale"]
        self.assertEqual([each.split(": ")[1] for each in bare["not_known"]], ["--tiers NAME=SIZE@RATE, e.g. nvme=3.2TB@6GB"])

    def test_a_plans_text_holds_the_figures_of_its_json(self):
        options = (NODE, "--ranks", 4, "--set", "train.gradient_accumulation_steps=2", "--set", "data.train_samples=128")
        plan = json.loads(self.ok("plan", *options, "--json"))
        text = self.ok("plan", *options)
        mib = 1048576
        self.assertIn("4 rank(s), 8 sample(s) each of a global batch of 64 in 2 parts, fp32", text)
        self.assertEqual(numbers(self.line(text, "parameters ")), [plan["parameters"], plan["parameter_tensors"]])
        self.assertEqual(numbers(self.line(text, "forward ")), [plan["forward_macs_per_sample"]])
        self.assertEqual(numbers(self.line(text, "training "))[0], round(plan["training_gflop_per_sample"], 1))
        for beginning, values in (("step  ", (plan["step_flops_per_rank"] / 1e9, plan["step_bytes_per_rank"] / mib)),
                                  ("activation pool", (plan["activation_pool_bytes"] / mib, plan["activation_unshared_bytes"] / mib)),
                                  ("model state", (plan["state_bytes"] / mib,)), ("input", (plan["input_bytes"] / mib, 4)),
                                  ("memory per rank", (plan["memory_bytes_per_rank"] / mib,)),
                                  ("all-reduce", (len(plan["buckets"]), plan["all_reduce_sent_bytes_per_rank"] / mib))):
            for shown, value in zip(numbers(self.line(text, beginning)), values, strict=False):
                self.assertAlmostEqual(shown, value, delta=0.051, msg=beginning)
        self.assertEqual(numbers(self.line(text, "steps "))[:2], [2, 128])
        for node in plan["nodes"]:
            row = self.line(text, node["node"] + " ").split()
            self.assertEqual([int(row[-4]), int(row[-3])], [node["parameters"], node["macs"]])
            self.assertAlmostEqual(float(row[-2]), node["flops"] / 1e9, delta=0.0001)
            self.assertAlmostEqual(float(row[-1]), node["bytes"] / mib, delta=0.01)

    def test_a_node_takes_the_longer_of_moving_and_multiplying(self):
        ceilings = json.loads((ROOT / "share/devices/ceilings.json").read_text())["h200"]
        options = (NODE, "--ranks", 4, "--device", "h200", "--set", "train.precision=bf16")
        plan = json.loads(self.ok("plan", *options, "--json"))
        multiplied = {node["node"]: (node["flops"], node["macs"]) for node in plan["nodes"]}
        kinds = set()
        for node in plan["prediction"]["nodes"]:
            moving = node["bytes"] / ceilings["bytes_per_s"]
            flops, macs = multiplied.get(node["node"], (None, 0))
            if flops != node["flops"]:
                continue  # fused with others
            multiplying = 2 * macs / ceilings["matrix_flops_per_s"]["bf16"]
            self.assertAlmostEqual(node["seconds"] * 1e6, max(moving, multiplying) * 1e6, places=6, msg=node["node"])
            self.assertEqual(node["bound_by"], "memory" if moving >= multiplying else "matrix", node["node"])
            kinds.add(node["bound_by"])
        self.assertEqual(kinds, {"memory", "matrix"})
        self.assertNotIn("AllReduce", {node["op"] for node in plan["nodes"]} & {node["node"] for node in plan["prediction"]["nodes"]})
        sums = {node["node"] for node in plan["nodes"] if node["op"] == "AllReduce"}
        self.assertTrue(sums)
        self.assertFalse(sums & {node["node"] for node in plan["prediction"]["nodes"]}, "the network is not the device's to bound")

        text = self.ok("plan", *options, "--reader-rate", 100)
        seconds = plan["prediction"]["step_seconds_at_least"]
        milliseconds, each, together, ranks = numbers(self.line(text, "step             at least"))
        self.assertAlmostEqual(milliseconds, 1e3 * seconds, delta=0.0006)
        self.assertAlmostEqual(each, 16 / seconds, delta=0.51)
        self.assertAlmostEqual(together, 64 / seconds, delta=0.51)
        self.assertEqual(ranks, 4)
        self.assertEqual(numbers(self.line(text, "readers"))[0], -(-16 / seconds // 100))
        longest = sorted(plan["prediction"]["nodes"], key=lambda node: -node["seconds"])[:10]
        rows = text[text.index("longest    share"):].splitlines()[1:11]
        for node, row in zip(longest, rows, strict=True):
            share, microseconds = re.match(r"  \S+ +([\d.]+) % +([\d.]+) ", row).groups()
            self.assertAlmostEqual(float(share), 100 * node["seconds"] / seconds, delta=0.051)
            self.assertAlmostEqual(float(microseconds), 1e6 * node["seconds"], delta=0.051)

    def test_a_schedule_shows_the_epochs_that_there_are(self):
        path = self.config({"train": {"epochs": 4}, "schedule": {"base_rate": 0.1, "peak_rate": 0.4, "warmup_epochs": 2,
                                                                 "decay": [{"epoch": 2, "factor": 0.5}, {"epoch": 3, "factor": 0.25}]}})
        points = [(point["epoch"], round(point["rate"], 12)) for point in json.loads(self.ok("plan", path, "--schedule", "--json"))]
        self.assertEqual(points, [(0, 0.1), (1, 0.25), (2, 0.4), (3, 0.2)])
        path = self.config({"train": {"epochs": 400}, "schedule": {"base_rate": 0, "peak_rate": 0.5, "warmup_epochs": 7,
                                                                   "decay": [{"epoch": 101, "factor": 0.5}]}})
        rates = {point["epoch"]: point["rate"] for point in json.loads(self.ok("plan", path, "--schedule", "--json"))}
        self.assertAlmostEqual(rates[6], 0.5 * 6 / 7)
        self.assertEqual((rates[7], rates[101], rates[102], rates[399]), (0.5, 0.5, 0.25, 0.25))

    # --- validate, check, report -------------------------------------------------------------------------------------

    def test_validate_takes_a_rank_a_node_and_divides_a_batch_whose_samples_are_not_known(self):
        path = self.config({"train": {"global_batch": 16}})
        self.ok("validate", path, "--ranks", 4, "--nodes", 4)
        done = call("validate", path, "--ranks", 3)
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn("/train/global_batch: 16 is not divisible by 3 ranks", done.stderr)

    def test_validate_tells_the_samples_of_either_split(self):
        path = self.config({"data": {split: str(self.folder / "data" / split) for split in ("train", "validation")},
                            "model": {"extent": 32}, "train": {"global_batch": 2}})
        found = "4 training and 2 validation samples found"
        self.assertEqual(self.ok("validate", path, "--ranks", 2), f"{path}: valid; {found}\n")
        self.assertEqual(json.loads(self.ok("validate", path, "--ranks", 2, "--json"))["note"], found)
        self.assertEqual(self.ok("validate", path, "--ranks", 2, "--quiet"), "")

    def test_a_config_of_more_than_a_mebibyte_is_another_file(self):
        done = call("validate", "/dev/zero", timeout=30)
        self.assertEqual(done.returncode, 2)
        self.assertIn("/dev/zero: is a device; name a config that is a file", done.stderr)
        path = self.config({})
        for more, code in ((0, 0), (1, 2)):
            text = '{"data": {"train": "none", "validation": "none"}}\n'
            path.write_text(text + " " * ((1 << 20) - len(text) + more))
            done = call("validate", path)
            self.assertEqual((done.returncode, "has more than 1048576 bytes" in done.stderr), (code, code == 2), more)

    def test_one_bad_log_is_enough_wherever_it_stands(self):
        empty = self.folder / "empty.log"
        empty.write_text("")
        for logs in ((GOOD, empty), (empty, GOOD)):
            done = call("check", "--json", *logs)
            self.assertEqual(done.returncode, 7)
            self.assertEqual([report["passed"] for report in json.loads(done.stdout)], [log == GOOD for log in logs])

    def test_a_quiet_check_says_nothing_of_a_good_log(self):
        self.assertEqual(self.ok("check", "--quiet", GOOD), "")
        self.assertRegex(self.ok("check", GOOD), r"official SUCCESS \(hpc 3\.0\.0, cosmoflow\), semantic sound\n$")

    def test_a_report_writes_the_same_figures_into_text_json_and_table(self):
        table = self.folder / "report.csv"
        figures = json.loads(self.ok("report", GOOD, "--json", "--csv", table))["runs"][0]["figures"]
        with table.open() as file:
            rows = {row["figure"]: row for row in csv.DictReader(file) if row["epoch"] == "" and row["value"]}
        self.assertGreater(len(figures), 3)
        for name, figure in figures.items():
            self.assertAlmostEqual(float(rows[name]["value"]), figure["value"], delta=abs(figure["value"]) * 1e-8, msg=name)
            self.assertEqual((rows[name]["unit"], rows[name]["source"]), (figure["unit"], figure["source"]))

    # --- data --------------------------------------------------------------------------------------------------------

    def test_inspects_text_holds_the_values_of_its_json_and_of_the_file(self):
        train = self.folder / "data/train"
        seen = json.loads(self.ok("data", "inspect", train, "--json"))
        text = self.ok("data", "inspect", train)
        self.assertIn(f"compression {seen['compression']:.2f}x, read amplification {seen['read_amplification']:.2f}x\n", text)
        self.assertEqual(re.findall(r"^ +(\S+) +[\d.]+ % #*$", text, re.M)[:5], ["0", "1", "2-3", "4-7", "8-15"])
        targets = numpy.concatenate([h5py.File(path)["y"][:] for path in sorted(train.glob("*.hdf5"))]).astype(float)
        counts = numpy.concatenate([h5py.File(path)["x"][:].ravel() for path in sorted(train.glob("*.hdf5"))])
        x, y = seen["values"]
        self.assertEqual(y["channel_minimum"], targets.min(0).tolist())
        self.assertEqual(y["channel_maximum"], targets.max(0).tolist())
        self.assertAlmostEqual(x["zero_fraction"], float((counts == 0).mean()), places=12)
        self.assertEqual(numbers(self.line(text, "x of 4 samples"))[-1], round(100 * float((counts == 0).mean()), 1))
        for channel in range(4):
            found = self.line(text, f"  y[..., {channel}]:").split(": ")[1].split(" to ")
            numpy.testing.assert_allclose([float(value) for value in found], [targets[:, channel].min(), targets[:, channel].max()], rtol=1e-5)
        shares = [float(row.split("%")[0].split()[-1]) for row in text.splitlines() if re.match(r" +(0|1|\d+-\d+) +[\d.]+ %", row)]
        ends = [0, 1, 2, 4, 8, 16]
        for share, (begin, end) in zip(shares, zip(ends, ends[1:])):
            self.assertAlmostEqual(share, 100 * float(((counts >= begin) & (counts < end)).mean()), delta=0.00051)

    def test_verify_tells_whether_there_was_a_manifest(self):
        split = self.folder / "verified"
        shutil.copytree(self.folder / "data/validation", split)
        size = sum(path.stat().st_size for path in split.glob("*.hdf5")) / 1048576
        for options, manifest in (([], "absent"), (["--write"], "written"), ([], "compared")):
            self.assertRegex(self.ok("data", "verify", split, *options),
                             rf": 1 files, 2 samples, {size:.1f} MiB read in [\d.]+ s; all is well; manifest {manifest}\n$")

    def test_generation_counts_its_files_and_a_survey_its_progress(self):
        size = sum(path.stat().st_size for path in (self.folder / "data").rglob("*.hdf5"))
        self.assertRegex(self.generated.stdout, rf": 3 files written, 0 kept, {size / 1048576:.1f} MiB in ")
        maps = self.folder / "maps"
        self.ok("data", "generate", maps, "--workload", "deepcam", "--height", 32, "--width", 48, "--train-samples", 10, "--validation-samples", 1)
        told = call("data", "stats", maps / "train").stderr
        self.assertEqual([int(percent) for percent in re.findall(r"reading (\d+) %", told)], list(range(10, 101, 10)))

    # --- run ---------------------------------------------------------------------------------------------------------

    def test_a_run_without_an_evaluation_has_no_metric(self):
        outcome = json.loads(self.ok("run", SMOKE, "--json", "--quiet", "--set", "train.steps=1", "--set", "train.global_batch=2", "--set",
                                     f"results.folder={self.folder}/few", env={"TRAINMARK_DATA": str(self.folder / "data")}))
        self.assertEqual((outcome["epochs"], outcome["steps"]), (0, 1))
        self.assertNotIn("final_metric", outcome)

    def test_a_run_tells_its_epochs_steps_and_the_command_that_makes_it_again(self):
        results, odd = self.folder / "results", "a b $c"
        arguments = ("run", SMOKE, "--json", "--quiet", "--set", "train.until=epochs", "--set", "train.epochs=3", "--set",
                     "train.global_batch=2", "--set", f"results.folder={results}", "--set", f"submission.org={odd}")
        outcome = json.loads(self.ok(*arguments, env={"TRAINMARK_DATA": str(self.folder / "data"), "PBS_JOBID": "12[3].server"}))
        self.assertEqual((outcome["epochs"], outcome["steps"]), (3, 6))
        self.assertEqual(pathlib.Path(outcome["results"]).name, "12_3_.server")
        record = json.loads((pathlib.Path(outcome["results"]) / "run.json").read_text())
        self.assertEqual((record["figures"]["epochs"], record["figures"]["steps"], record["job"]), (3, 6, "12_3_.server"))
        self.assertTrue(record["command_line"].endswith(f"--set 'submission.org={odd}'"), record["command_line"])
        self.assertNotIn("'--quiet'", record["command_line"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
