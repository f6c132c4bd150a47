#!/usr/bin/env python3
"""DeepCAM: the tiny configuration trains to its target and the official checker accepts its log; ranks, norm groups and
accumulation train the same run; what does not fit is refused by name."""
import pathlib
import shutil
import subprocess
import sys
import unittest

from harness import ROOT, EndToEnd


class Deepcam(EndToEnd):
    samples = 8

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.maps = cls.scratch / "maps"
        done = cls.trainmark("data", "generate", str(cls.maps), "--workload", "deepcam", ranks=2)
        assert done.code == 0, done.output

    def tiny(self, name: str, *settings: str, ranks: int = 2, data: pathlib.Path = None, expect: int = 0):
        sets = [word for setting in (f"results.folder={self.folder / name}", *settings) for word in ("--set", setting)]
        run = self.trainmark("run", str(ROOT / "configs/deepcam/tiny.json"), *sets, ranks=ranks, timeout=600,
                             env={"TRAINMARK_DATA": str(data or self.maps), "TRAINMARK_LOCAL": str(self.folder / "local")})
        self.assertEqual(run.code, expect, run.output)
        run.results = self.folder / name
        return run

    def test_it_reaches_the_target_and_both_judges_accept_its_log(self):
        run = self.tiny("target")
        log = run.folder / "mlperf.log"
        self.assertEqual(self.trainmark("check", "--strict", str(log)).code, 0)
        official = subprocess.run([sys.executable, "-m", "mlperf_logging.compliance_checker", "--usage", "hpc", "--ruleset", "3.0.0",
                                   "--werror", "--log_output", str(self.folder / "checker.log"), str(log)],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(official.returncode, 0, official.stdout)
        self.assertIn("SUCCESS", official.stdout)
        self.assertGreaterEqual(run.json()["figures"]["final_metric"], 0.82)
        values = {event["key"]: event["value"] for event in run.events()}
        self.assertEqual((values["submission_benchmark"], values["opt_name"], values["batchnorm_group_size"]), ("deepcam", "LAMB", 1))
        self.assertIn("eval_loss", values)

    def test_two_such_runs_are_equal_to_the_bit(self):
        hashes = [self.tiny(name, "train.until=epochs", "train.epochs=1").table("epochs.csv")[-1]["parameter_hash"]
                  for name in ("first", "second")]
        self.assertEqual(hashes[0], hashes[1])

    def losses(self, name: str, *settings: str, ranks: int):
        run = self.tiny(name, "train.until=steps", "train.steps=6", "optimizer.name=adam", "schedule.rate=0.001", *settings, ranks=ranks)
        return [float(row["loss"]) for row in run.table("steps.csv")]

    def assert_alike(self, one: list, other: list):
        self.assertEqual(len(one), 6)
        for step, (a, b) in enumerate(zip(one, other)):
            self.assertLess(abs(a - b), (1e-5 if step == 0 else 2e-3) * a, (one, other))

    def test_ranks_whose_norms_are_taken_together_train_the_run_of_one(self):
        alone = self.losses("alone", ranks=1)
        self.assert_alike(alone, self.losses("two", "model.norm_group=2", ranks=2))
        self.assert_alike(alone, self.losses("four", "model.norm_group=4", ranks=4))
        apart = self.losses("apart", ranks=4)
        self.assertGreater(abs(apart[0] - alone[0]), 1e-4 * alone[0], "norms of one sample are others")

    def test_parts_of_a_step_train_the_run_of_as_many_ranks(self):
        parts = self.losses("parts", "train.gradient_accumulation_steps=2", ranks=1)
        self.assert_alike(parts, self.losses("ranks", ranks=2))
        self.assert_alike(parts, self.losses("groups", "model.norm_group=2", ranks=4))

    def test_what_does_not_fit_is_refused_by_name(self):
        for settings, ranks, code, words in (
                (("model.norm_group=3",), 2, 2, ("/model/norm_group: 3 does not divide the 2 ranks", "start a multiple of 3 ranks")),
                (("model.rows=100",), 1, 2, ("/model/rows", "multiple of 16")),
                (("model.rows=112",), 1, 3, ("96x144x16", "112x144x16")),
                (("schedule.cosine_steps=10", 'schedule.decay=[{"step": 5, "factor": 0.1}]'), 1, 2, ("/schedule/cosine_steps", "exclude")),
                (("train.global_batch=512",), 1, 2, ("512", "256 training samples"))):
            run = self.tiny("refused", *settings, ranks=ranks, expect=code)
            for word in words:
                self.assertIn(word, run.output)

    def test_data_without_their_statistics_and_of_another_workload_are_refused(self):
        lonely = self.folder / "lonely"
        shutil.copytree(self.maps, lonely, ignore=shutil.ignore_patterns("stats.h5"))
        run = self.tiny("refused", ranks=2, data=lonely, expect=3)
        self.assertIn("stats.h5", run.output)
        other = self.folder / "cosmoflow"
        self.assertEqual(self.trainmark("data", "generate", str(other), "--train-samples", "64", "--validation-samples", "64").code, 0)
        shutil.copy(self.maps / "stats.h5", other)
        run = self.tiny("refused", ranks=1, data=other, expect=3)
        self.assertIn("climate/data", run.output)


if __name__ == "__main__":
    unittest.main(verbosity=2)
