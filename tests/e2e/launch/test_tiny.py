#!/usr/bin/env python3
"""The main job: the tiny configuration trains to its target, and the official checker accepts its log."""
import pathlib
import subprocess
import sys
import unittest

from harness import ROOT, EndToEnd


class Tiny(EndToEnd):
    samples = 8

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        done = cls.trainmark("data", "generate", str(cls.scratch / "tiny"), ranks=2)
        assert done.code == 0, done.output

    def test_it_reaches_the_target_and_both_judges_accept_its_log(self):
        run = self.trainmark("run", str(ROOT / "configs/cosmoflow/tiny.json"), "--set", f"results.folder={self.folder / 'results'}",
                             ranks=2, timeout=900,
                             env={"TRAINMARK_DATA": str(self.scratch / "tiny"), "TRAINMARK_LOCAL": str(self.folder / "local")})
        self.assertEqual(run.code, 0, run.output)
        run.results = self.folder / "results"
        log = run.folder / "mlperf.log"
        official = subprocess.run([sys.executable, "-m", "mlperf_logging.compliance_checker", "--usage", "hpc", "--ruleset", "3.0.0",
                                   "--werror", "--log_output", str(self.folder / "checker.log"), str(log)],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(official.returncode, 0, official.stdout)
        self.assertIn("SUCCESS", official.stdout)
        self.assertEqual(self.trainmark("check", "--strict", str(log)).code, 0)
        figures = run.json()["figures"]
        self.assertLessEqual(figures["final_metric"], 0.124)
        self.assertGreater(figures["time_to_train_s"], 0)
        for word in ("not an MLPerf result", "compliant"):
            self.assertIn(word, run.output)


if __name__ == "__main__":
    unittest.main(verbosity=2)
