#!/usr/bin/env python3
"""Precisions of whole runs: what a loss scale changes (nothing), when it gives up, and what a CPU says to GPU types."""
import unittest

from harness import EndToEnd


class Precision(EndToEnd):
    def run_into(self, name: str, **changes):
        run = self.run_small(results={"folder": str(self.folder / name)}, **changes)
        run.results = self.folder / name
        return run

    def test_a_loss_scale_changes_no_bit_and_stands_in_the_results(self):
        for ranks in (0, 2):
            plain = self.run_into(f"plain{ranks}", ranks=ranks, train={"epochs": 1, "loss_scaling": "auto"})
            scaled = self.run_into(f"scaled{ranks}", ranks=ranks, train={"epochs": 1, "loss_scaling": "on"})
            for column in ("parameter_hash", "eval_metric", "train_loss"):
                self.assertEqual([row[column] for row in plain.table("epochs.csv")],
                                 [row[column] for row in scaled.table("epochs.csv")], column)
            figures = scaled.json()["figures"]
            self.assertEqual((figures["skipped_steps"], figures["loss_scale"]), (0, 65536))
            self.assertNotIn("loss_scale", plain.json()["figures"])

    def test_gradients_on_the_wire_are_rounded_alike_on_all_ranks_and_not_where_there_is_one(self):
        columns = ("parameter_hash", "eval_metric", "train_loss")
        for ranks in (0, 2, 4):
            exact, *rounded = (self.run_into(f"{wire}{ranks}", ranks=ranks, train={"epochs": 2, "wire": wire}) for wire in ("fp32", "bf16", "fp16"))
            truth = exact.table("epochs.csv")
            for run, wire in zip(rounded, ("bf16", "fp16")):
                rows = run.table("epochs.csv")
                if ranks == 0:
                    self.assertEqual([[row[column] for column in columns] for row in rows], [[row[column] for column in columns] for row in truth])
                else:  # a run itself compares its ranks' hashes
                    self.assertNotEqual(rows[0]["parameter_hash"], truth[0]["parameter_hash"])
                    for row, expected in zip(rows, truth):
                        loss = float(expected["train_loss"])
                        self.assertLess(abs(float(row["train_loss"]) - loss), 0.02 * loss, (ranks, wire))
                record = run.json()
                self.assertIn(f"gradients travel between ranks, where there are several, in {wire} and are rounded to it", record["labels"])
                self.assertEqual("loss_scale" in record["figures"], wire == "fp16")
                self.assertEqual({event["value"] for event in run.events() if event["key"] == "trainmark_wire"}, {wire})
            self.assertFalse([label for label in exact.json()["labels"] if "travel" in label])

    def test_a_run_that_diverges_under_a_loss_scale_ends_and_says_why(self):
        for ranks in (0, 2):
            folder = self.folder / f"lost{ranks}"
            done = self.run_small(ranks=ranks, expect=6, train={"loss_scaling": "on", "until": "steps", "steps": 1000000},
                                  schedule={"base_rate": 1e30, "peak_rate": 1e30}, results={"folder": str(folder)})
            done.results = folder
            record = done.json()
            self.assertEqual((record["status"], record["exit_code"]), ("diverged", 6))
            # Whichever is seen first: a loss that is not finite, or that no update happens any more.
            self.assertRegex(record["message"], "the loss is (nan|inf)|not finite even at a loss scale of 1")
            self.assertIn("/schedule/peak_rate", done.output)
            self.assertIn("aborted", done.log())

    def test_tf32_on_a_cpu_is_fp32_and_says_so(self):
        single = self.run_into("fp32", train={"epochs": 1}, backend={"device": "cpu"})
        rounded = self.run_into("tf32", train={"epochs": 1, "precision": "tf32"}, backend={"device": "cpu"})
        self.assertEqual(single.table("epochs.csv")[0]["parameter_hash"], rounded.table("epochs.csv")[0]["parameter_hash"])
        self.assertIn("this run computes in fp32", rounded.output)
        self.assertIn("tf32 computed as fp32", rounded.json()["texts"]["backend"])
        self.assertNotIn("tf32", single.json()["texts"]["backend"])
        self.assertEqual(rounded.json()["texts"]["precision"], "fp32")
        self.assertRegex(rounded.output, "global batch [0-9]+, fp32, cpu")

    def test_fp16_on_a_cpu_is_refused_by_name_before_the_clock_starts(self):
        done = self.run_small(expect=4, train={"precision": "fp16"}, backend={"device": "cpu"})
        self.assertIn("conv2 (", done.output)
        self.assertIn("fp16 is for devices; use fp32 or bf16 on a CPU", done.output)
        self.assertNotIn("run_start", done.keys())

    def test_what_is_for_gpus_leaves_a_cpu_as_it_is(self):
        plain = self.run_into("plain", train={"epochs": 1}, backend={"device": "cpu"})
        told = self.run_into("told", train={"epochs": 1},
                             backend={"device": "cpu", "deterministic": True, "capture": False,
                                      "plan_cache": str(self.folder / "plans")})
        self.assertEqual(plain.table("epochs.csv")[0]["parameter_hash"], told.table("epochs.csv")[0]["parameter_hash"])
        self.assertFalse((self.folder / "plans").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
