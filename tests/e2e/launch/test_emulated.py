#!/usr/bin/env python3
"""Runs on an emulated device: the stated time is kept, slow input shows as waiting, and nothing is told that nothing computed."""
import json
import os
import unittest

from harness import EndToEnd

TERMS = ("exposed_input_s", "exposed_upload_s", "compute_s", "exposed_all_reduce_s", "host_s")
LABEL = "emulated device: steps take a stated time and compute nothing"


def emulated(train_ms: float, eval_ms: float = 1.0) -> dict:
    return {"device": "emulated", "emulated": {"train_ms": train_ms, "eval_ms": eval_ms}}


class Emulated(EndToEnd):
    def run_in(self, name: str, **changes):
        run = self.run_small(results={"folder": str(self.folder / name)}, **changes)
        run.results = self.folder / name
        return run

    @staticmethod
    def device_seconds(rows: list) -> float:
        """Where a busy machine wakes a rank late, the term host has what is missing in the next step's compute."""
        return sum(float(row["compute_s"]) + float(row["host_s"]) for row in rows)

    def test_a_step_takes_the_stated_time_and_its_terms_add_up(self):
        for ranks in (0, 2):
            run = self.run_in(f"ranks{ranks}", ranks=ranks, backend=emulated(40), train={"until": "steps", "steps": 8, "bucket_mib": 0.01})
            rows = run.table("steps.csv")
            self.assertEqual(len(rows), 8)
            for row in rows:
                terms = {term: float(row[term]) for term in TERMS}
                self.assertLess(terms["compute_s"], 0.041, row)  # by the device's own time line
                self.assertAlmostEqual(sum(terms.values()), float(row["step_s"]), delta=0.01 * float(row["step_s"]) + 3e-6)
            self.assertGreater(self.device_seconds(rows), 0.8 * 8 * 0.040, "a step's end is seen late, the next one's in time")
            self.assertGreater(sum(float(row["step_s"]) for row in rows), 7 * 0.040)
            figures = run.json()["figures"]
            self.assertEqual(figures["emulated_train_step_s"], 0.040)
            self.assertGreater(figures["upload_s"], 0.0, "copies are real")
            self.assertLess(figures["upload_exposed_s"], figures["upload_s"], "and hide behind the step")

    def test_slow_input_shows_as_waiting_and_hides_behind_a_slow_device(self):
        data = self.folder / "large"
        made = self.trainmark("data", "generate", str(data), "--extent", "64", "--train-samples", "64", "--validation-samples", "1")
        self.assertEqual(made.code, 0, made.output)
        same = {"data": {"train": str(data / "train"), "validation": str(data / "validation")}, "model": {"extent": 64},
                "load": {"threads": 1, "prefetch": 1}, "train": {"until": "steps", "steps": 8, "global_batch": 32}}  # 64 MiB a batch
        fast = self.run_in("fast", backend=emulated(0.001), **same).table("steps.csv")
        slow = self.run_in("slow", backend=emulated(1000), **same).table("steps.csv")
        total = lambda rows, term: sum(float(row[term]) for row in rows[1:])  # nothing hides the first batch
        self.assertGreater(total(fast, "exposed_input_s"), total(fast, "compute_s"), "a device that only waits")
        self.assertLess(total(slow, "exposed_input_s"), total(slow, "compute_s"))
        self.assertGreater(float(slow[-1]["compute_s"]), 1000 * float(fast[-1]["compute_s"]))

    def test_every_file_says_that_nothing_was_computed(self):
        for ranks in (0, 2):
            run = self.run_in(f"told{ranks}", ranks=ranks, backend=emulated(2))
            record = run.json()
            self.assertTrue(any(LABEL in label for label in record["labels"]), record["labels"])
            self.assertEqual(record["texts"]["verdict"], "not judged (emulated device)")
            for key in ("final_metric", "best_metric", "time_to_train_s", "energy_j"):
                self.assertNotIn(key, record["figures"])
            self.assertIn("emulated (as stated: 2 ms a training step", json.dumps(record))
            self.assertEqual({row["loss"] for row in run.table("steps.csv")}, {""})
            epochs = run.table("epochs.csv")
            self.assertEqual({(row["train_loss"], row["eval_metric"]) for row in epochs}, {("", "")})
            self.assertTrue(any(event["key"] == "trainmark_note" and LABEL in event["value"] for event in run.events()))
            self.assertNotIn("eval_error", run.keys())
            self.assertIn("eval_start", run.keys())
            for line in (LABEL, "time to train    none", "not judged (emulated device)"):
                self.assertIn(line, run.output)
            self.assertNotRegex(run.output, r"loss +-?\d")
            self.assertEqual(self.trainmark("check", str(run.folder / "mlperf.log")).code, 7)
            told = self.trainmark("report", str(run.folder))
            self.assertEqual(told.code, 0, told.output)
            self.assertIn(LABEL, told.output)
            self.assertIn("not comparable with published results: an emulated device", told.output)
        told = self.trainmark("report", *(str(self.folder / f"told{ranks}") for ranks in (0, 2)))
        self.assertIn(LABEL, told.output)

    def test_ranks_that_share_a_cpu_are_told_what_helps_beside_a_device(self):
        all_cpus = os.sched_getaffinity(0)
        self.addCleanup(os.sched_setaffinity, 0, all_cpus)
        os.sched_setaffinity(0, {min(all_cpus)})
        output = self.run_in("crowded", ranks=2, backend=emulated(2), train={"until": "steps", "steps": 2}).output
        self.assertIn("2 ranks, each with a device to keep busy and 2 readers, take turns on 1 CPUs", output)
        for useless in ("/backend/threads", "/backend/overlap", "compute and communication threads"):
            self.assertNotIn(useless, output)

    def test_the_floor_of_a_known_device_is_the_plans(self):
        config = self.write_config(backend={"device": "emulated", "emulated": {"like": "h100"}})
        planned = json.loads(self.trainmark("plan", str(config), "--json", "--ranks", "2").output)
        self.assertTrue(any(LABEL in note for note in planned["notes"]))
        self.assertGreater(planned["emulated"]["train_ms"], planned["emulated"]["eval_ms"])
        self.assertGreater(planned["emulated"]["eval_ms"], 0.0)
        self.assertAlmostEqual(planned["emulated"]["samples_per_s_a_rank"], 4e3 / planned["emulated"]["train_ms"], places=3)
        told = self.trainmark("plan", str(config)).output
        self.assertIn("the floor of h100, a bound and no measurement", told)
        run = self.run_in("floor", ranks=2, backend={"device": "emulated", "emulated": {"like": "h100"}}, train={"epochs": 1})
        self.assertAlmostEqual(run.json()["figures"]["emulated_train_step_s"], 1e-3 * planned["emulated"]["train_ms"], places=9)
        self.assertEqual(run.json("config.resolved.json")["backend"]["emulated"]["train_ms"], 0, "as it was asked for")

    def test_parts_of_a_step_share_its_time(self):
        run = self.run_in("parts", backend=emulated(40), train={"until": "steps", "steps": 4, "gradient_accumulation_steps": 4})
        rows = run.table("steps.csv")
        self.assertGreater(self.device_seconds(rows), 0.8 * 4 * 0.040)
        self.assertLess(sum(float(row["compute_s"]) for row in rows), 1.05 * 4 * 0.040)

    def test_what_would_take_it_for_a_device_is_refused(self):
        def refused(*options, command="run", expected="", **changes):
            done = self.trainmark(command, str(self.write_config(**changes)), *options)
            self.assertEqual(done.code, 2, done.output)
            self.assertIn(expected, done.output)
        refused(backend=emulated(2), train={"until": "target"}, expected="/train/until: target cannot be reached")
        refused(backend=emulated(2), submission={"division": "closed"}, expected="closed is not for /backend/device emulated")
        refused(backend={"device": "emulated"}, expected="/backend/emulated/train_ms: is missing")
        refused(backend=emulated(2, 0), expected="/backend/emulated/eval_ms: is missing")
        refused(backend={"device": "cpu", "emulated": {"train_ms": 2}}, expected="/backend/emulated: has no effect")
        refused(backend={"device": "emulated", "emulated": {"like": "h100", "eval_ms": 2}}, expected="exclude each other")
        for command in ("run", "validate", "plan"):
            refused(backend={"device": "emulated", "emulated": {"like": "h900"}}, command=command, expected='"h900" is no known device')
        for option in (("--check", "cpu"), ("--measure-nodes",), ("--probe",)):
            refused(*option, backend=emulated(2), expected="is not for run --")
        refused(backend=emulated(2), command="ablate", expected="is not for trainmark ablate")
        refused(backend=emulated(2), command="screen", expected="is not for trainmark screen")
        refused(backend=emulated(2), command="probe", expected="is not for trainmark probe")
        refused("--nodes", "1", "--gpus-per-node", "4", backend=emulated(2), command="sbatch", expected="GPUs would be paid for and idle")


if __name__ == "__main__":
    unittest.main(verbosity=2)
