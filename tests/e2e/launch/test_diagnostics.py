#!/usr/bin/env python3
"""What each rank keeps of its diagnostics: a file a rank, whole lines, the levels that were asked for."""
import re
import unittest

from harness import EndToEnd

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (trace|debug|info|warning|error) rank (\d+) on (\S+) \[(\w+)\] (.+)")


class Diagnostics(EndToEnd):
    def kept(self, run):
        return {path.name: path.read_text().splitlines() for path in (run.folder / "diagnostics").glob("*")}

    def test_each_of_two_ranks_says_what_it_decided_and_why(self):
        run = self.run_small(ranks=2, options=["--log-level", "debug"], stage={"strategy": "replicate", "target": str(self.folder / "local")})
        files = self.kept(run)
        self.assertEqual(sorted(files), ["rank-0000.log", "rank-0001.log"])
        host = run.json("env.json")["ranks"][0]["host"]
        for rank, lines in enumerate(files[name] for name in sorted(files)):
            found = [LINE.fullmatch(line) for line in lines]
            self.assertTrue(all(found), [line for line, match in zip(lines, found) if match is None])
            self.assertEqual({(match[2], match[3]) for match in found}, {(str(rank), host)})
            self.assertLessEqual({"initialisation", "staging", "training"}, {match[4] for match in found})
            text = "\n".join(match[5] for match in found)
            for said in ("CPU backend: ", "oneDNN plans ", "a step's last batch has ", "bucket ", "staging by replicate gives this node ",
                         "is read ", "of this rank's share ", "may run on CPUs "):
                self.assertIn(said, text)
            self.assertNotIn("step 1 of epoch 1", text, "a line each step")
        self.assertNotIn("oneDNN plans", run.output, "the terminal stays as it is")

    def test_the_level_decides_what_is_kept_and_changes_no_bit(self):
        steps, hashes = {}, set()
        for level in ("trace", "info", "error", "off"):
            folder = self.folder / level
            run = self.run_small(options=["--log-level", level], results={"folder": str(folder)})
            run.results = folder
            hashes.add(run.table("epochs.csv")[-1]["parameter_hash"])
            lines = self.kept(run).get("rank-0000.log", [])
            steps[level] = sum(": loss " in line for line in lines)
            levels = {LINE.fullmatch(line)[1] for line in lines}
            self.assertLessEqual(levels, {"trace": {"trace", "debug", "info", "warning"}, "info": {"info", "warning"}}.get(level, set()))
            self.assertEqual((run.folder / "diagnostics").exists(), level != "off")
            if level in ("trace", "info"):
                self.assertIn("16 steps in 2 epochs", "\n".join(lines))
        self.assertEqual(steps, {"trace": 16, "info": 0, "error": 0, "off": 0})
        self.assertEqual(len(hashes), 1)

    def test_a_level_that_does_not_exist_is_refused_with_those_that_do(self):
        run = self.run_small(expect=2, options=["--log-level", "loud"])
        self.assertIn("loud not in {trace,debug,info,warn,error,off}", run.output)


if __name__ == "__main__":
    unittest.main()
