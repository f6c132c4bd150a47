#!/usr/bin/env python3
"""Whole runs: what they leave behind, and that ranks, overlap and staging do not change what is trained."""
import json
import os
import subprocess
import unittest

from harness import EndToEnd


class Runs(EndToEnd):
    def test_epochs_tell_what_came_from_storage_and_what_from_memory(self):
        kind = subprocess.run(["stat", "-f", "-c", "%T", str(self.data)], capture_output=True, text=True).stdout.strip()
        if kind in ("tmpfs", "ramfs", "overlayfs"):
            self.skipTest(f"files on {kind} do not come from storage")
        bytes_of = {split: sum(path.stat().st_size for path in (self.data / split).glob("*.hdf5")) for split in ("train", "validation")}
        os.sync()  # what is not written yet cannot be dropped
        for path in self.data.rglob("*.hdf5"):
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        run = self.run_small(ranks=2, train={"epochs": 3})
        epochs = run.table("epochs.csv")
        mib = 1 << 20
        self.assertGreater(float(epochs[0]["from_storage_mib"]) * mib, 0.9 * sum(bytes_of.values()))
        self.assertLess(float(epochs[2]["from_storage_mib"]) * mib, 0.1 * sum(bytes_of.values()), "it was read before")
        asked = sum(float(epoch["asked_mib"]) for epoch in epochs) * mib
        self.assertGreater(asked, 2.9 * sum(bytes_of.values()))
        ranks = run.table("ranks.csv")
        self.assertGreater(sum(float(rank["read_from_storage_mib"]) for rank in ranks) * mib, 0.9 * sum(bytes_of.values()))
        self.assertEqual(run.json()["figures"]["node_dataset_fits_memory"], 1)
        self.assertAlmostEqual(run.json()["figures"]["node_dataset_mib"] * mib / sum(bytes_of.values()), 1.0, places=3)
        self.assertIn("comes from memory and not from storage", run.output)
        for epoch in epochs:
            self.assertGreaterEqual(float(epoch["eval_wait_for_input_s"]), 0.0)
            self.assertLessEqual(float(epoch["eval_wait_for_input_s"]), float(epoch["eval_s"]))

    def test_a_run_leaves_every_file_that_it_promises(self):
        run = self.run_small()
        for name in ("config.resolved.json", "env.json", "mlperf.log", "run.json", "epochs.csv", "steps.csv", "ranks.csv"):
            self.assertTrue((run.folder / name).is_file(), name)
        record = run.json()
        self.assertEqual(record["exit_code"], 0)
        self.assertEqual(record["status"], "fixed_work_done")
        self.assertEqual(record["figures"]["epochs"], 2)
        self.assertGreater(record["figures"]["upload_s"], 0)
        self.assertEqual(record["figures"]["upload_exposed_s"], record["figures"]["upload_s"], "nothing hides uploads on a CPU")
        self.assertEqual(len(run.table("steps.csv")), 16)
        self.assertEqual(len(run.table("epochs.csv")), 2)
        self.assertEqual([row["rank"] for row in run.table("ranks.csv")], ["0"])
        self.assertIn("generated data: not an MLPerf result", record["labels"])
        self.assertNotIn("time_to_train_s", record["figures"])
        self.assertEqual(run.json("env.json")["ranks"][0]["rank"], 0)
        self.assertEqual(list(run.folder.glob(".trainmark-*")), [])

    def test_the_log_holds_its_keys_in_the_recommended_order(self):
        keys = self.run_small().keys()
        order = ["submission_benchmark", "submission_org", "submission_division", "submission_status", "submission_platform",
                 "cache_clear", "init_start", "number_of_ranks", "seed", "global_batch_size", "train_samples", "init_stop",
                 "run_start", "epoch_start", "eval_start", "eval_error", "eval_stop", "epoch_stop", "run_stop"]
        self.assertEqual(sorted(order, key=keys.index), order)
        self.assertEqual(keys.count("eval_error"), 2)

    def test_one_two_and_four_ranks_train_the_same_run(self):
        runs = [self.run_small(ranks=ranks, name=f"ranks{ranks}", model={"dropout": 0.5, "l2": 0.01},
                               results={"folder": str(self.folder / f"results{ranks}")}) for ranks in (1, 2, 4)]
        for ranks, run in zip((1, 2, 4), runs):
            run.results = self.folder / f"results{ranks}"
        losses = [[float(row["loss"]) for row in run.table("steps.csv")[:10]] for run in runs]
        for other in losses[1:]:
            for one, two in zip(losses[0], other):
                self.assertLess(abs(one - two), 1e-5 * abs(one), losses)

    def test_gradients_summed_over_several_batches_train_the_same_run(self):
        losses, hashes = [], []
        for ranks, parts in ((1, 1), (1, 4), (2, 2), (2, 4)):
            folder = self.folder / f"results{ranks}{parts}"
            run = self.run_small(ranks=ranks, train={"gradient_accumulation_steps": parts, "bucket_mib": 0.01},
                                 model={"dropout": 0.5, "l2": 0.01}, results={"folder": str(folder)})
            run.results = folder
            self.assertEqual(len(run.table("steps.csv")), 16)
            self.assertEqual([event["value"] for event in run.events() if event["key"] == "gradient_accumulation_steps"], [parts])
            losses.append([float(row["loss"]) for row in run.table("steps.csv")[:10]])
            hashes.append(run.table("epochs.csv")[-1]["parameter_hash"])
        for other in losses[1:]:
            for one, two in zip(losses[0], other):
                self.assertLess(abs(one - two), 1e-5 * abs(one), losses)
        self.assertEqual(len(set(hashes)), 4, "sums in another order that give the same bits: were there several?")

    def test_parts_that_do_not_divide_a_step_are_refused(self):
        run = self.run_small(ranks=2, expect=2, train={"gradient_accumulation_steps": 8})
        self.assertIn("8 is not divisible by 2 ranks in 8 parts", run.output)
        self.assertIn("use 16, or another number of ranks or /train/gradient_accumulation_steps", run.output)
        run = self.run_small(expect=2, train={"gradient_accumulation_steps": 3})
        self.assertIn("3 parts do not divide /train/global_batch 8", run.output)

    def test_the_nodes_of_a_step_are_timed_without_a_trace_in_the_run(self):
        for ranks in (0, 2):
            plain = self.run_small(ranks=ranks, train={"epochs": 1}, results={"folder": str(self.folder / f"plain{ranks}")})
            plain.results = self.folder / f"plain{ranks}"
            timed = self.run_small(ranks=ranks, train={"epochs": 1}, results={"folder": str(self.folder / f"timed{ranks}")},
                                   options=["--measure-nodes"])
            timed.results = self.folder / f"timed{ranks}"
            self.assertEqual(plain.table("epochs.csv")[0]["parameter_hash"], timed.table("epochs.csv")[0]["parameter_hash"])
            nodes, figures = timed.table("nodes.csv"), timed.json()["figures"]
            self.assertAlmostEqual(sum(float(node["share"]) for node in nodes), 1, 3)
            self.assertAlmostEqual(sum(float(node["seconds"]) for node in nodes), figures["nodes_s"], 5)
            for op, figure in (("Update", "nodes_update_share"), ("AllReduce", "nodes_all_reduce_share")):
                share = sum(float(node["share"]) for node in nodes if node["op"] == op)
                self.assertTrue(any(node["op"] == op for node in nodes))
                self.assertAlmostEqual(share, figures[figure], 3)
            self.assertGreater(int(next(node["flops"] for node in nodes if node["op"] == "ConvBlock")), 0)
            self.assertRegex(timed.output, r"node by node a step takes .* ms: optimizer .* %, all-reduce .* %")
            self.assertFalse((plain.folder / "nodes.csv").exists())

    def test_timed_nodes_are_those_of_a_whole_step_however_many_parts_it_has(self):
        flops, updates = set(), set()
        for parts in (1, 2, 4):
            folder = self.folder / f"parts{parts}"
            run = self.run_small(train={"epochs": 1, "gradient_accumulation_steps": parts}, results={"folder": str(folder)},
                                 options=["--measure-nodes"])
            run.results = folder
            nodes = run.table("nodes.csv")
            self.assertEqual(len({node["node"] for node in nodes}), len(nodes))
            self.assertAlmostEqual(sum(int(node["flops"]) for node in nodes) * 1e-9,
                                   run.json()["figures"]["training_step_gflop_per_rank"], delta=1e-9)
            flops.add(sum(int(node["flops"]) for node in nodes if node["op"].startswith("Conv")))
            updates.add(sum(int(node["flops"]) for node in nodes if node["op"] == "Update"))
        self.assertEqual(len(flops), 1, "each sample is convolved once a step")
        self.assertEqual(len(updates), 1, "parameters are updated once a step")

    def test_overlap_changes_no_bit(self):
        hashes = []
        for overlap in ("on", "off"):
            run = self.run_small(ranks=2, backend={"overlap": overlap, "threads": 1}, train={"bucket_mib": 0.01},
                                 results={"folder": str(self.folder / overlap)})
            run.results = self.folder / overlap
            hashes.append([row["parameter_hash"] for row in run.table("epochs.csv")])
        self.assertEqual(hashes[0], hashes[1])

    def test_the_same_run_twice_is_bit_equal_in_both_precisions(self):
        for precision in ("fp32", "bf16"):
            hashes = []
            for attempt in (1, 2):
                folder = self.folder / f"{precision}{attempt}"
                run = self.run_small(train={"precision": precision, "epochs": 1}, results={"folder": str(folder)})
                run.results = folder
                hashes.append([row["parameter_hash"] for row in run.table("epochs.csv")])
            self.assertEqual(hashes[0], hashes[1], precision)

    def test_staging_copies_once_and_reuses_after(self):
        staging = {"strategy": "replicate", "target": str(self.folder / "local")}
        first = self.run_small(ranks=2, stage=staging)
        node = first.json("staging.json")["splits"]["train"]["nodes"][0]
        self.assertEqual(node["files_copied"], 8)
        again = self.run_small(ranks=2, stage=staging)
        node = again.json("staging.json")["splits"]["train"]["nodes"][0]
        self.assertEqual((node["files_copied"], node["files_reused"]), (0, 8))
        self.assertEqual(again.keys().count("staging_start"), 1)
        self.assertLess(again.keys().index("staging_stop"), again.keys().index("init_start"))

    def test_training_beside_staging_changes_no_bit(self):
        runs = {}
        for mode in ("before", "overlap"):
            for strategy in ("replicate", "shard"):
                folder = self.folder / f"{mode}-{strategy}"
                run = self.run_small(ranks=2, stage={"strategy": strategy, "mode": mode, "target": str(folder / "local")},
                                     results={"folder": str(folder)})
                run.results = folder
                runs[mode, strategy] = run
        for strategy in ("replicate", "shard"):
            before, beside = runs["before", strategy], runs["overlap", strategy]
            self.assertEqual([row["parameter_hash"] for row in before.table("epochs.csv")],
                             [row["parameter_hash"] for row in beside.table("epochs.csv")])
            self.assertNotIn("staging_start", beside.keys())
            self.assertIn("beside training", beside.output)
            staging, record = beside.json("staging.json"), beside.json()
            self.assertEqual(staging["mode"], "overlap")
            self.assertEqual(before.json("staging.json")["mode"], "before")
            self.assertTrue(any("staging goes on beside training" in label for label in record["labels"]), record["labels"])
            figures = record["figures"]
            read = staging["read_from_source"]["samples"] + staging["read_from_target"]["samples"]
            self.assertGreaterEqual(read, 2 * self.samples, "two epochs, and what was read ahead")
            self.assertEqual(figures["samples_read_from_source"] + figures["samples_read_from_target"], read)
            self.assertNotIn("staging_s", figures)
            node = staging["splits"]["train"]["nodes"][0]
            self.assertEqual(node["files_copied"] + node["files_missing"], 8)
            self.assertEqual(staging["complete"], node["done_s"] is not None and
                             staging["splits"]["validation"]["nodes"][0]["done_s"] is not None)
            note = self.trainmark("report", str(beside.results))
            # A busy machine may have copied all of it before the first batch is read.
            told = "staging went on beside training" if figures["samples_read_from_source"] else "staging was to go on beside training"
            self.assertIn(told, note.output)

    def test_staging_beside_training_finds_what_an_earlier_run_has_staged(self):
        target = str(self.folder / "local")
        self.run_small(stage={"strategy": "replicate", "target": target})
        again = self.run_small(ranks=2, stage={"strategy": "replicate", "mode": "overlap", "target": target})
        self.assertIn(f"all is in {target} already", again.output)
        staging = again.json("staging.json")
        self.assertEqual(staging["read_from_source"]["samples"], 0)
        self.assertTrue(staging["complete"])

    def test_rules_of_earlier_rounds_put_staging_inside_the_clock(self):
        run = self.run_small(stage={"strategy": "replicate", "target": str(self.folder / "local")}, submission={"ruleset": "2.0.0"})
        self.assertLess(run.keys().index("run_start"), run.keys().index("staging_start"))

    def test_a_fixed_number_of_steps_ends_where_it_should(self):
        run = self.run_small(train={"until": "steps", "steps": 11})
        self.assertEqual(len(run.table("steps.csv")), 11)
        self.assertEqual(run.json()["figures"]["steps"], 11)

    def test_a_warm_up_that_training_does_not_finish_is_told(self):
        schedule = {"by": "step", "rate": 0.001, "warmup_steps": 20}
        path = self.write_config(schedule=schedule)
        document = json.loads(path.read_text())
        document["schedule"] = schedule
        path.write_text(json.dumps(document))
        told = "warning: /schedule/warmup_steps: the warm-up takes 20 steps, and training has 16: "
        for options in ((), ("--dry-run",)):
            done = self.trainmark("run", str(path), *options, ranks=2)
            self.assertEqual((done.code, done.output.count(told)), (0, 1), done.output)
        done = self.trainmark("run", str(path), "--dry-run", "--set", "schedule.warmup_steps=16")
        self.assertNotIn("warm-up takes", done.output)

    def test_a_missed_target_says_so_and_ends_with_6(self):
        run = self.run_small(expect=6, train={"until": "target", "epochs": 1, "target": 0.0001})
        self.assertEqual(run.json()["status"], "target_missed")
        self.assertEqual(run.json()["exit_code"], 6)
        stop = [event for event in run.events() if event["key"] == "run_stop"]
        self.assertEqual(stop[0]["metadata"]["status"], "aborted")

    def test_a_seed_of_zero_is_drawn_and_logged(self):
        seeds = {event["value"] for attempt in (1, 2) for event in
                 self.run_small(seed=0, train={"until": "steps", "steps": 1}, name=f"seed{attempt}").events()
                 if event["key"] == "seed"}
        self.assertEqual(len(seeds), 2)
        self.assertTrue(all(seed > 0 for seed in seeds))

    def test_a_seed_that_no_double_holds_stays_what_it_is(self):
        seed = 9007199254740993
        run = self.run_small(seed=seed, train={"until": "steps", "steps": 1})
        self.assertEqual(run.json()["figures"]["seed"], seed)
        self.assertIsInstance(run.json()["figures"]["seed"], int)
        self.assertEqual([event["value"] for event in run.events() if event["key"] == "seed"], [seed])
        self.assertEqual(run.json("config.resolved.json")["seed"], seed)

    def test_two_runs_into_one_place_do_not_mix(self):
        for _ in range(2):
            self.run_small(train={"until": "steps", "steps": 1})
        self.assertEqual(len(list((self.folder / "results" / "small").iterdir())), 2)

    def test_a_dry_run_leaves_nothing(self):
        run = self.run_small(options=["--dry-run"])
        self.assertFalse((self.folder / "results").exists())
        self.assertIn("parameters", run.output)

    def test_the_resolved_config_reproduces_the_run(self):
        first = self.run_small(train={"epochs": 1})
        config = json.loads((first.folder / "config.resolved.json").read_text())
        config["results"]["folder"] = str(self.folder / "again")
        path = self.folder / "resolved.json"
        path.write_text(json.dumps(config))
        second = self.trainmark("run", str(path))
        second.results = self.folder / "again"
        self.assertEqual(second.code, 0, second.output)
        self.assertEqual([row["parameter_hash"] for row in first.table("epochs.csv")],
                         [row["parameter_hash"] for row in second.table("epochs.csv")])


if __name__ == "__main__":
    unittest.main(verbosity=2)
