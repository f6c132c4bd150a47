#!/usr/bin/env python3
"""Paths, arguments and variables are bytes, JSON is UTF-8: whatever comes in, every document that goes out can be read."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from program import BINARY, ROOT

GOOD = ROOT / "tests/golden/logs/hpc_cosmoflow_open_v3.0.txt"
ODD = os.fsdecode(b"caf\xe9\xff")  # Latin-1, and a byte that no encoding has
SHOWN = "caf\ufffd\ufffd"


class Bytes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="trainmark-bytes-")) / ODD
        cls.folder.mkdir()
        cls.data = cls.folder / "data"
        cls.generated = cls.call("data", "generate", cls.data, "--train-samples", 16, "--validation-samples", 16, "--samples-per-file", 8, "--json")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder.parent, ignore_errors=True)

    @classmethod
    def call(cls, *arguments, launcher=()) -> subprocess.CompletedProcess:
        env = {**os.environ, "OMP_NUM_THREADS": "1", "TRAINMARK_DATA": str(cls.data), "TRAINMARK_NOTE": ODD}
        return subprocess.run([*launcher, BINARY, *map(str, arguments)], capture_output=True, env=env, timeout=120)

    def document(self, done, code=0) -> dict:
        """What was printed, read as strictly as JSON demands."""
        self.assertEqual(done.returncode, code, done.stderr)
        return json.loads(done.stdout.decode("utf-8"))

    def test_the_data_commands_print_json(self):
        self.assertIn(SHOWN, self.document(self.generated)["target"])
        self.assertEqual(self.document(self.call("data", "inspect", self.data / "train", "--json"))["samples"], 16)
        self.assertTrue(self.document(self.call("data", "verify", self.data / "train", "--write", "--json"))["sound"])
        os.rename(next((self.data / "validation").glob("*.hdf5")), self.data / "validation" / (ODD + ".hdf5"))
        self.document(self.call("data", "verify", self.data / "validation", "--write", "--json"))
        (self.data / "validation" / (ODD + ".hdf5")).rename(self.data / "validation" / "other.hdf5")
        self.assertIn(SHOWN, " ".join(self.document(self.call("data", "verify", self.data / "validation", "--json"), 3)["differences"]))

    def test_the_commands_about_configs_print_json(self):
        config = self.folder / "config.json"
        config.write_text((ROOT / "configs/cosmoflow/smoke.json").read_text())
        self.assertIn(SHOWN, self.document(self.call("validate", config, "--json"))["config"])
        self.assertIn(SHOWN, " ".join(self.document(self.call("validate", config, "--json", "--set", ODD + "=1"), 2)["complaints"]))
        self.assertIn(SHOWN, self.document(self.call("validate", config, "--print", "--set", "submission.org=" + ODD))["submission"]["org"])
        self.document(self.call("plan", config, "--json", "--set", "submission.org=" + ODD))
        self.assertEqual(self.document(self.call("env", "--json"))["variables"]["TRAINMARK_NOTE"], SHOWN)

    def test_check_and_report_write_what_can_be_read(self):
        log = self.folder / "a.log"
        shutil.copy(GOOD, log)
        self.assertIn(SHOWN, self.document(self.call("check", log, "--json"))[0]["file"])
        self.assertIn(SHOWN, self.document(self.call("check", self.folder / "none.log", "--json"), 2)[0]["error"])
        done = self.call("report", log, "--json", "--csv", self.folder / "r.csv", "--html", self.folder / "r.html")
        self.assertIn(SHOWN, self.document(done)["runs"][0]["path"])
        for name in ("r.csv", "r.html"):
            self.assertIn(SHOWN, (self.folder / name).read_bytes().decode("utf-8"))

    def test_a_log_with_bytes_that_are_no_utf8_can_be_judged_and_reported(self):
        log = self.folder / "b.log"
        log.write_bytes(GOOD.read_bytes().replace(b'"key": "submission_org", "value": "', b'"key": "submission_org", "value": "caf\xe9\xff', 1))
        self.assertIn(self.call("check", log, "--json").returncode, (0, 7))
        json.loads(self.call("check", log, "--json").stdout.decode("utf-8"))
        self.document(self.call("report", log, "--json"))

    def test_a_run_writes_what_can_be_read(self):
        done = self.call("run", ROOT / "configs/cosmoflow/smoke.json", "--json", "--set", "train.steps=1", "--set", "submission.org=" + ODD,
                         "--set", f"results.folder={self.folder}/results", "--set", "stage.strategy=replicate",
                         "--set", f"stage.target={self.folder}/local")
        self.assertIn(SHOWN, self.document(done)["results"])
        results = next(path for path in (self.folder / "results").glob("*/*") if path.is_dir())
        files = [path for path in results.iterdir() if path.is_file()]
        texts = {path.name: path.read_bytes().decode("utf-8") for path in files}
        for name in ("run.json", "env.json", "staging.json", "config.resolved.json"):
            self.assertIn(SHOWN, json.dumps(json.loads(texts[name]), ensure_ascii=False), name)
        self.assertIn(SHOWN, texts["mlperf.log"])
        self.assertEqual(json.loads(texts["run.json"])["exit_code"], 0)

    def test_a_failure_is_concluded_in_words_that_can_be_read(self):
        local = self.folder / "taken"
        local.write_text("a file where a folder should be")
        done = self.call("run", ROOT / "configs/cosmoflow/smoke.json", "--set", f"results.folder={self.folder}/failed", "--set",
                         "stage.strategy=replicate", "--set", f"stage.target={local}")
        self.assertEqual(done.returncode, 3, done.stderr)
        for record in (self.folder / "failed").glob("*/*/run.json"):
            document = json.loads(record.read_bytes().decode("utf-8"))
            self.assertEqual(document["exit_code"], 3)
            self.assertIn(SHOWN, document["message"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
