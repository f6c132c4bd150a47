#!/usr/bin/env python3
"""Ceilings of a machine, by themselves and behind a run: what is measured, in which sizes, and what a run does not notice."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import h5py

from harness import BINARY, MPIRUN, EndToEnd

CPU_FIGURES = {f"{what}_{precision}_flops_per_s" for what in ("compute", "matrix", "convolution") for precision in ("fp32", "bf16")}
CPU_FIGURES |= {"memory_copy_bytes_per_s", "read_source_bytes_per_s"}
AMPLE = "30"  # seconds that no part outgrows beside other work; a machine of its own takes a few of them


class Probe(EndToEnd):
    def probe(self, *options, ranks: int = 0, expect: int = 0, env=None, **changes) -> subprocess.CompletedProcess:
        command = [*(MPIRUN + ["-n", str(ranks)] if ranks else []), BINARY, "probe", str(self.write_config(**changes)), "--quiet", *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=200,
                              env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})})
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def check(self, spread: dict, name: str):
        self.assertEqual(set(spread), {"median", "n", "min", "max"}, name)
        self.assertGreaterEqual(spread["n"], 3, name)
        self.assertGreater(spread["min"], 0, name)
        self.assertLessEqual(spread["min"], spread["median"], name)
        self.assertLessEqual(spread["median"], spread["max"], name)

    def test_one_and_two_ranks_measure_every_ceiling(self):
        for ranks in (1, 2):
            changes = {"train": {"bucket_mib": 0.05}}
            found = json.loads(self.probe("--json", "--seconds", "12", ranks=ranks, **changes).stdout)
            self.assertEqual((found["kind"], found["ranks"], found["nodes"], found["precision"]), ("trainmark probe", ranks, 1, "fp32"))
            figures = {figure["name"]: figure for figure in found["figures"]}
            self.assertEqual(len(figures), len(found["figures"]), "a name is one figure's")
            # A slow or busy machine may not come to all of it; then it says so.
            for missing in CPU_FIGURES - set(figures):
                words = missing.split("_")
                self.assertTrue(any(words[0] in line and (words[1] in line or words[0] == "read") for line in found["left_out"]),
                                f"{missing} is neither measured nor left out: {found['left_out']}")
            self.assertLessEqual(set(figures), CPU_FIGURES)
            for name, figure in figures.items():
                self.assertEqual(figure["source"], "measured")
                self.check(figure["rank"], name)
                self.check(figure["node"], name)
                self.assertNotEqual(figure["of"], "")
                self.assertEqual("rank_alone" in figure and ranks == 1, False, "a rank alone has nobody to wait for it")
                self.assertEqual(figure.get("cache") in ("cold", "warm"), name.startswith("read_"), name)
            for precision in ("fp32", "bf16"):
                rates = {what: figures[f"{what}_{precision}_flops_per_s"]["rank"]["median"] for what in ("compute", "matrix", "convolution")
                         if f"{what}_{precision}_flops_per_s" in figures}
                if "compute" in rates:
                    self.assertEqual(rates["compute"], max(value for what, value in rates.items() if what != "compute"))
            plan = self.trainmark("plan", str(self.write_config(**changes)), "--json", "--ranks", str(ranks))
            buckets = [bucket["bytes"] for bucket in json.loads(plan.output)["buckets"]]
            self.assertGreater(len(buckets), 1)
            if ranks == 1:
                self.assertEqual(found["all_reduce"], [])
                self.assertTrue(any("sums with nobody" in line for line in found["left_out"]))
            else:
                self.assertEqual([message["bytes"] for message in found["all_reduce"]], buckets)
                for message in found["all_reduce"]:
                    self.assertEqual(message["ranks"], 2)
                    self.check(message["seconds"], message["name"])
                    self.check(message["bus_bytes_per_s"], message["name"])
                    self.assertAlmostEqual(message["bus_bytes_per_s"]["median"] * message["seconds"]["median"] / message["bytes"], 1.0)
            self.assertTrue(any("computes in host memory" in line for line in found["left_out"]))
            step = found["step"]
            self.assertEqual((step["source"], step["samples"], step["host_to_device_bytes"], step["storage"]),
                             ("modelled", 8 // ranks, 0, "source"))
            self.assertEqual(step["network_bytes"], sum(buckets) * 2 * (ranks - 1) / ranks)
            files = sum(path.stat().st_size for path in (self.data / "train").glob("*.hdf5"))
            self.assertAlmostEqual(step["storage_bytes"], files / self.samples * 8 / ranks)
            self.assertGreater(step["flops"], 0)

    def test_what_was_staged_is_read_too_and_nothing_is_staged_for_it(self):
        target = self.folder / "local"
        stage = {"strategy": "replicate", "target": str(target)}
        before = json.loads(self.probe("--json", "--seconds", AMPLE, stage=stage).stdout)
        self.assertFalse(target.exists())
        self.assertTrue(any("reading what was staged" in line and "trainmark stage" in line for line in before["left_out"]), before["left_out"])
        self.assertEqual(self.trainmark("stage", str(self.write_config(stage=stage))).code, 0)
        after = json.loads(self.probe("--json", "--seconds", AMPLE, stage=stage).stdout)
        figures = {figure["name"]: figure for figure in after["figures"]}
        self.assertIn("read_staged_bytes_per_s", figures)
        self.assertIn("read_source_bytes_per_s", figures)
        self.assertIn(str(target / "train"), figures["read_staged_bytes_per_s"]["of"])
        self.assertEqual(after["step"]["storage"], "staged")

    def test_files_in_memory_are_never_called_cold(self):
        kind = subprocess.run(["stat", "-f", "-c", "%T", "/dev/shm"], capture_output=True, text=True).stdout.strip()
        if kind != "tmpfs" or not os.access("/dev/shm", os.W_OK):
            self.skipTest("no tmpfs to write to")
        folder = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm", prefix="trainmark-probe-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        shutil.copytree(self.data, folder / "data")
        found = json.loads(self.probe("--json", "--seconds", AMPLE, data={split: str(folder / "data" / split) for split in ("train", "validation")}).stdout)
        reads = [figure for figure in found["figures"] if figure["name"] == "read_source_bytes_per_s"]
        self.assertEqual([figure["cache"] for figure in reads], ["warm"])

    def test_a_table_says_the_same_for_people(self):
        text = self.probe("--seconds", AMPLE).stdout
        for words in ("memory_copy_bytes_per_s", "read_source_bytes_per_s", "FLOP/s", "page cache", "not measured: ", "measured in ", "[measured]", "[modelled]"):
            self.assertIn(words, text)

    def test_a_run_is_not_changed_by_the_probe_behind_it(self):
        for ranks in (0, 2):
            logs, hashes = [], []
            for options in ((), ("--probe", "--measure-nodes")):
                folder = self.folder / f"results{ranks}{len(options)}"
                run = self.run_small(ranks=ranks, train={"epochs": 1}, results={"folder": str(folder)}, options=options)
                run.results = folder
                logs.append(run.keys())
                hashes.append(run.table("epochs.csv")[0]["parameter_hash"])
                self.assertEqual((run.folder / "probe.json").exists(), bool(options))
                self.assertEqual((run.json()["exit_code"], run.json()["status"]), (0, "fixed_work_done"))
            self.assertEqual(logs[0], logs[1])
            self.assertEqual(hashes[0], hashes[1])
            found = run.json("probe.json")
            self.assertEqual(found["ranks"], max(1, ranks))
            self.assertGreaterEqual({figure["name"] for figure in found["figures"]}, {"memory_copy_bytes_per_s", "read_source_bytes_per_s"})
            self.assertLess((run.folder / "mlperf.log").stat().st_mtime_ns, (run.folder / "probe.json").stat().st_mtime_ns)
            self.assertLess(run.json()["figures"]["run_s"], found["used_s"] + run.json()["figures"]["run_s"])
            self.assertEqual(run.keys()[-1], "run_stop")
            self.assertEqual(list(run.folder.glob(".trainmark-*")), [])

    def test_a_report_sets_the_step_against_what_was_probed(self):
        run = self.run_small(ranks=2, train={"epochs": 1, "bucket_mib": 0.05}, options=["--probe", "--measure-nodes"])
        page, model = self.folder / "report.html", self.folder / "model.json"
        done = self.trainmark("report", str(run.folder), "--json", "--html", str(page), "--model", str(model))
        self.assertEqual(done.code, 0, done.output)
        resources, layers = json.loads(done.output)["runs"][0]["roofline"]
        self.assertEqual([row["resource"] for row in resources["rows"]], ["compute", "memory", "network", "shared file system"])
        for row in resources["rows"]:
            self.assertAlmostEqual(row["at_least_ms"], 1e3 * row["work_1e9"] / row["ceiling_1e9_s"])
        self.assertTrue(any(remark.startswith("bound by ") for remark in resources["remarks"]), resources["remarks"])
        self.assertGreaterEqual({row["op"] for row in layers["rows"]}, {"ConvBlock", "AllReduce"})
        self.assertIn("Roofs of a rank", page.read_text())
        found, probed = json.loads(model.read_text())["runs"][0], run.json("probe.json")
        self.assertEqual([message["bytes"]["value"] for message in found["messages"]], [each["bytes"] for each in probed["all_reduce"]])
        self.assertEqual(found["step"]["flops"], {"value": probed["step"]["flops"], "source": "modelled"})
        self.assertEqual(found["step"]["seconds"]["value"], run.json()["figures"]["step_median_s"])
        self.assertEqual(len(found["layers"]), len(run.table("nodes.csv")))
        self.assertAlmostEqual(probed["step"]["flops"] * 1e-9, run.json()["figures"]["training_step_gflop_per_rank"])
        (run.folder / "probe.json").write_text('{"kind": "trainmark probe", "figures": 3')
        text = self.trainmark("report", str(run.folder))
        self.assertEqual(text.code, 0, text.output)
        self.assertIn("probe.json is not a JSON object and was left out", text.output)
        self.assertIn("`trainmark run --probe` leaves one", text.output)

    def test_what_a_run_would_refuse_is_refused(self):
        for ranks in (0, 2):
            done = self.probe("--json", ranks=ranks, expect=3, data={"train": str(self.folder / "none")})
            self.assertEqual(done.stdout, "")
            self.assertIn("none", done.stderr)
        done = self.probe("--json", ranks=2, expect=2, train={"global_batch": 7})
        self.assertIn("7 is not divisible by 2 ranks", done.stderr)
        for seconds in ("0", "61", "x"):
            self.assertIn("--seconds", self.probe("--seconds", seconds, expect=2).stderr)
        done = self.trainmark("run", str(self.write_config()), "--probe", "--dry-run")
        self.assertEqual(done.code, 2)

    def test_a_damaged_sample_ends_the_probe_on_all_ranks(self):
        broken = self.folder / "broken"
        shutil.copytree(self.data, broken)
        for path in (broken / "train").glob("*.hdf5"):
            with h5py.File(path, "r+") as file:
                file["x"][...] = -1  # counts are not negative
        for ranks in (0, 2):
            done = self.probe("--json", "--seconds", "2", ranks=ranks, expect=3,
                              data={"train": str(broken / "train"), "validation": str(broken / "validation")})
            self.assertEqual(done.stdout, "")
            self.assertIn("broken/train", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
