#!/usr/bin/env python3
"""Where a run says that its steps spend their time, and the same step with one thing off at a time."""
import json
import unittest

from harness import EndToEnd

TERMS = ("exposed_input_s", "exposed_upload_s", "compute_s", "exposed_all_reduce_s", "host_s")


class Ablation(EndToEnd):
    def test_terms_add_up_to_the_step_and_scopes_to_the_start(self):
        for ranks in (1, 2):
            run = self.run_small(ranks=ranks)
            for row in run.table("steps.csv"):
                self.assertAlmostEqual(sum(float(row[term]) for term in TERMS), float(row["step_s"]), delta=0.01 * float(row["step_s"]) + 3e-6)
            figures = run.json()["figures"]
            self.assertAlmostEqual(sum(figures[term] for term in TERMS) / figures["steps_s"], 1.0, delta=0.01)
            self.assertLessEqual(figures["steps_s"], figures["train_s"])
            self.assertGreater(figures["exposed_all_reduce_s"], 0.0 if ranks > 1 else -1.0)
            for scope in ("mpi", "dataset", "backend", "planning", "warm_up", "staging", "first_step", "rest"):
                self.assertGreaterEqual(figures[f"startup_{scope}_s"], 0.0, scope)
            for scope in ("mpi", "planning", "warm_up", "first_step"):
                self.assertGreater(figures[f"startup_{scope}_s"], 0.0, scope)
            rows = run.table("ranks.csv")
            self.assertEqual([row["last_steps"] == "" for row in rows], [ranks == 1] * ranks)
            told = self.trainmark("report", str(run.folder))
            for line in ("start-up, planning", "start-up, first step", "mean step, compute", "mean step, exposed all-reduce"):
                self.assertIn(line, told.output)

    def test_an_ablation_takes_every_variant_and_leaves_nothing(self):
        config = str(self.write_config(stage={"strategy": "replicate", "target": str(self.folder / "local")}))
        done = self.trainmark("ablate", config, "--rounds", "2", "--steps", "2", "--json", "--quiet", ranks=2)
        self.assertEqual(done.code, 0, done.output)
        found = json.loads(done.output[done.output.index("{"):])
        names = [variant["name"] for variant in found["variants"]]
        for name in ("full", "no_input", "resident", "bare", "resident_no_all_reduce", "no_all_reduce", "unfused", "direct"):
            self.assertIn(name, names)
        self.assertEqual("bf16" in names, not any(line.startswith("bf16: ") for line in found["left_out"]), found["left_out"])
        for elsewhere in ("fp32", "tf32", "uncaptured"):  # this run's own; devices alone have those
            self.assertNotIn(elsewhere, names)
        lost = sum(loss["mean"] for loss in found["losses_s"].values())
        self.assertAlmostEqual(lost, found["full_step_s"]["mean"] - found["compute_only_step_s"]["mean"], delta=0.01 * found["full_step_s"]["mean"])
        self.assertEqual(list(self.folder.rglob("mlperf.log")) + list(self.folder.rglob("run.json")), [])

    def test_bf16_is_compared_with_fp32(self):
        config = str(self.write_config(train={"precision": "bf16"}))
        done = self.trainmark("ablate", config, "--rounds", "2", "--steps", "1", "--quiet")
        self.assertEqual(done.code, 0, done.output)
        self.assertIn("fp32 in place of bf16", done.output)
        self.assertNotIn("bf16 in place of", done.output)
        self.assertNotIn("all_reduce", done.output)

    def test_what_is_asked_for_as_tf32_is_compared_as_the_fp32_that_it_is(self):
        config = str(self.write_config(train={"precision": "tf32", "gradient_accumulation_steps": 2}))
        done = self.trainmark("ablate", config, "--rounds", "2", "--steps", "1", "--quiet", "--json")
        self.assertEqual(done.code, 0, done.output)
        found = json.loads(done.output[done.output.index("{"):])
        meanings = {variant["name"]: variant["meaning"] for variant in found["variants"]}
        self.assertNotIn("fp32", meanings)
        self.assertEqual(found["precision"], "fp32")
        self.assertEqual(meanings.get("bf16", "bf16 in place of fp32"), "bf16 in place of fp32")
        self.assertIn("unfused", meanings)

    def test_what_makes_no_comparison_ends_with_2(self):
        config = str(self.write_config())
        for options in (("--rounds", "1"), ("--steps", "0"), ("--set", "train.global_batch=7")):
            refused = self.trainmark("ablate", config, *options, ranks=2)
            self.assertEqual(refused.code, 2, refused.output)


if __name__ == "__main__":
    unittest.main(verbosity=2)
