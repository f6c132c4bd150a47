#!/usr/bin/env python3
"""What staging asks of the system for each small file: times depend on the machine, the number of calls does not."""
import json
import pathlib
import re
import shutil
import subprocess
import unittest

from harness import BINARY, EndToEnd


@unittest.skipUnless(shutil.which("strace"), "there is no strace")
class Calls(EndToEnd):
    def calls_of_staging(self, files: int) -> dict:
        """Of one rank that stages so many files, by name of the call."""
        data = self.folder / f"data{files}"
        made = self.trainmark("data", "generate", str(data), "--workload", "resnet50", "--train-samples", str(files), "--validation-samples", "1",
                              "--samples-per-file", "1")
        self.assertEqual(made.code, 0, made.output)
        for split in ("train", "validation"):  # so that no header has to be read
            self.assertEqual(self.trainmark("data", "verify", str(data / split), "--workload", "resnet50", "--write").code, 0)
        config = self.folder / f"config{files}.json"
        config.write_text(json.dumps({"workload": "resnet50", "data": {"train": str(data / "train"), "validation": str(data / "validation")},
                                      "stage": {"strategy": "replicate", "target": str(self.folder / f"target{files}")},
                                      "train": {"global_batch": 1, "until": "epochs", "epochs": 1}, "submission": {"generated_data": True}}))
        counts = self.folder / f"calls{files}"
        done = subprocess.run(["strace", "-f", "-c", "-o", str(counts), BINARY, "stage", str(config), "--quiet"], capture_output=True, text=True)
        if "ptrace" in done.stderr:
            self.skipTest("ptrace is not allowed here")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(list(pathlib.Path(self.folder / f"target{files}" / "train").glob("*.hdf5"))), files)
        rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", counts.read_text(), re.M)
        return {name: int(number) for number, name in rows}

    def test_a_small_file_takes_few_calls(self):
        few, many = self.calls_of_staging(40), self.calls_of_staging(440)
        a_file = {name: (many[name] - few.get(name, 0)) / 400 for name in many}
        for name, most in (("openat", 2.2), ("rename", 1.1), ("flock", 1.1), ("fallocate", 1.1), ("newfstatat", 6.2), ("write", 1.2),
                           ("pread64", 1.2), ("fadvise64", 0.1), ("uname", 0.1)):
            self.assertLessEqual(a_file.get(name, 0.0), most, a_file)
        self.assertGreater(a_file["openat"], 1.9, "the source's and the copy's")


if __name__ == "__main__":
    unittest.main(verbosity=2)
