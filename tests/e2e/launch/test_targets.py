#!/usr/bin/env python3
"""Staging as several jobs and several datasets meet it: who may change a target, whose files are taken for one's own, and what a
manifest beside the data is worth."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import unittest

from harness import BINARY, EndToEnd, Run


class Targets(EndToEnd):
    """Two datasets whose files have equal names, sizes and times, as copies that keep times and whole seconds make them."""
    samples = 80  # one a file: more than a process keeps open

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, seed in (("first", "1"), ("second", "2")):
            done = cls.trainmark("data", "generate", str(cls.scratch / name), "--train-samples", str(cls.samples),
                                 "--validation-samples", "8", "--samples-per-file", "1", "--seed", seed)
            assert done.code == 0, done.output
            for path in (cls.scratch / name).rglob("*.hdf5"):
                os.utime(path, ns=(1_700_000_000_000_000_000,) * 2)

    def setUp(self):
        super().setUp()
        self.target = self.folder / "local"

    def options(self, dataset, **stage) -> dict:
        folder = dataset if isinstance(dataset, pathlib.Path) else self.scratch / dataset
        return {"data": {"train": str(folder / "train"), "validation": str(folder / "validation")},
                "train": {"epochs": 3}, "watchdog": {"step_seconds": 600},
                "stage": {"strategy": "replicate", "target": str(self.target), "wait_seconds": 0, **stage}}

    def small(self, name: str, dataset, expect: int = 0, **stage) -> Run:
        """A run to its end, its results in a folder of their own."""
        results = self.folder / name
        done = self.run_small(expect=expect, results={"folder": str(results)}, **self.options(dataset, **stage))
        done.results = results
        return done

    @contextlib.contextmanager
    def paused_run(self, name: str, dataset):
        """A run that was stopped once it trained; it goes on when the block is left."""
        config = self.write_config(results={"folder": str(self.folder / name)}, **self.options(dataset))
        process = subprocess.Popen([BINARY, "run", str(config)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1", "SLURM_JOB_ID": "4711"})
        self.addCleanup(self.kill_session, process)
        deadline = time.time() + 120
        while not any("epoch_start" in log.read_text() for log in (self.folder / name).glob("*/*/mlperf.log")):
            self.assertIsNone(process.poll(), "it ended before it could be stopped")
            self.assertLess(time.time(), deadline)
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGSTOP)
        yield process
        if process.poll() is None:
            os.kill(process.pid, signal.SIGCONT)

    def end(self, process, name: str) -> Run:
        output, _ = process.communicate(timeout=240)
        return Run(process.returncode, output, self.folder / name)

    @staticmethod
    def losses(run: Run) -> list:
        return [row["loss"] for row in run.table("steps.csv")]

    @staticmethod
    def counts(run: Run) -> tuple:
        node = run.json("staging.json")["splits"]["train"]["nodes"][0]
        return node["files_copied"], node["files_reused"]

    def contents(self) -> dict:
        return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in self.target.rglob("*.hdf5")}

    def test_a_job_cannot_change_what_another_one_trains_on(self):
        alone = self.small("alone", "first", strategy="none")
        with self.paused_run("held", "first") as process:
            before = self.contents()
            refused = self.small("refused", "second", expect=3)
            for words in (f"{self.target}/train", f"is read by job 4711 (pid {process.pid} on ", "stage.wait_seconds"):
                self.assertIn(words, refused.output)
            self.assertEqual(refused.output.count("trainmark: error"), 1, refused.output)
            self.assertEqual(self.contents(), before)
            beside = self.small("beside", "first")  # wants what is there
            self.assertEqual(self.counts(beside), (0, self.samples))
            self.assertEqual(self.contents(), before)
        held = self.end(process, "held")
        self.assertEqual(held.code, 0, held.output)
        self.assertEqual(self.losses(held), self.losses(alone))
        self.assertEqual(self.losses(beside), self.losses(alone))
        self.assertEqual(self.counts(self.small("after", "second")), (self.samples, 0))

    def test_staging_by_itself_leaves_what_a_run_takes_and_cleaning_gives_it_back(self):
        config = str(self.write_config(**self.options("first")))
        done = self.trainmark("stage", config, "--json", "--quiet", ranks=2)
        self.assertEqual(done.code, 0, done.output)
        node = json.loads(done.output)["splits"]["train"]["nodes"][0]
        self.assertEqual((node["files_copied"], node["files_missing"]), (self.samples, 0))
        self.assertEqual(self.counts(self.small("run", "first")), (0, self.samples))
        with self.paused_run("held", "first"):
            refused = self.trainmark("stage", config, "--clean")
            self.assertEqual(refused.code, 3, refused.output)
            self.assertIn("is read by job 4711", refused.output)
            self.assertEqual(len(self.contents()), self.samples + 8)
        done = self.trainmark("stage", config, "--clean", "--set", "stage.wait_seconds=100")
        self.assertEqual(done.code, 0, done.output)
        self.assertIn(f"removed {self.samples + 8} files", done.output)
        self.assertEqual(self.contents(), {})

    def test_staging_writes_a_binding_manifest_beside_the_source(self):
        source = self.folder / "own"
        shutil.copytree(self.scratch / "first", source)
        config = str(self.write_config(**self.options(source, verify=False)))
        done = self.trainmark("stage", config, "--write-manifest")
        self.assertEqual(done.code, 0, done.output)
        for split in ("train", "validation"):
            self.assertEqual(self.trainmark("data", "verify", str(source / split)).code, 0)
            lines = (source / split / "trainmark.manifest").read_text().splitlines()[2:-1]
            entries = [line for line in lines if line.endswith(".hdf5")]
            self.assertEqual(len(entries), len(list((source / split).rglob("*.hdf5"))))
            for entry in entries:
                self.assertRegex(entry, r"^[0-9a-f]{32}\t")  # hashed, though runs of this config do not
            self.assertTrue(all(line.startswith(("form\t", "at\t")) for line in lines[len(entries):]), lines[-1])
            self.assertTrue(lines[len(entries)].startswith("form\t"), "it lists layouts")
        (source / "train").glob("*.hdf5").__next__().unlink()
        self.assertEqual(self.trainmark("stage", config).code, 3)
        part = self.write_config(**{**self.options("second"), "data": {**self.options("second")["data"], "train_samples": 8}})
        refused = self.trainmark("stage", str(part), "--write-manifest")
        self.assertEqual(refused.code, 2, refused.output)
        self.assertIn("uses 8 of 80 files", refused.output)
        self.assertFalse((self.scratch / "second/train/trainmark.manifest").exists())

    def test_staging_of_nothing_is_refused(self):
        done = self.trainmark("stage", str(self.write_config(**self.options("first", strategy="none"))))
        self.assertEqual(done.code, 2, done.output)
        self.assertIn("/stage/strategy: is none", done.output)

    def test_a_job_waits_for_another_one_and_a_killed_one_holds_nothing(self):
        with self.paused_run("held", "first") as process:
            config = self.write_config(results={"folder": str(self.folder / "waits")},
                                       **self.options("second", wait_seconds=200))
            waits = subprocess.Popen([BINARY, "run", str(config)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                     start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
            self.addCleanup(self.kill_session, waits)
            said = ""
            while "waiting at most 200 s" not in said:
                line = waits.stdout.readline()
                self.assertNotEqual(line, "", said)
                said += line
            self.assertIn("is read by job 4711", said)
            os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
        done = self.end(waits, "waits")
        self.assertEqual(done.code, 0, said + done.output)
        self.assertEqual(self.counts(done), (self.samples, 0))

    def test_files_of_another_dataset_are_never_taken_for_ones_own(self):
        expected = self.losses(self.small("direct", "second", strategy="none"))
        self.assertNotEqual(expected, self.losses(self.small("first", "first")))
        for name, options in (("verified", {}), ("unverified", {"verify": False})):
            with self.subTest(name):
                shutil.rmtree(self.target)
                self.small("again-" + name, "first", **options)
                run = self.small(name, "second", **options)
                self.assertEqual(self.counts(run), (self.samples, 0))
                self.assertEqual(self.losses(run), expected)
                again = self.small("same-" + name, "second", **options)
                self.assertEqual(self.counts(again), (0, self.samples))

    def test_a_dataset_that_took_anothers_place_is_not_taken_for_it(self):
        moving = self.folder / "moving"
        for dataset in ("first", "second"):
            shutil.copytree(self.scratch / dataset, self.folder / dataset)  # with their times
        (self.folder / "first").rename(moving)
        self.small("before", moving)
        moving.rename(self.folder / "away")
        (self.folder / "second").rename(moving)
        run = self.small("after", moving)
        self.assertEqual(self.counts(run), (self.samples, 0))
        self.assertEqual(self.losses(run), self.losses(self.small("direct", "second", strategy="none")))

    def test_a_manifest_beside_the_data_says_what_a_run_trains_on(self):
        mine = self.folder / "mine"
        shutil.copytree(self.scratch / "first", mine)
        written = self.trainmark("data", "verify", str(mine / "train"), "--write")
        self.assertEqual(written.code, 0, written.output)
        files = sorted((mine / "train").glob("*.hdf5"))
        for path in files[:9]:
            path.unlink()
        os.utime(files[10])
        shutil.copy(files[11], mine / "train" / "zz.hdf5")
        for strategy in ("none", "replicate"):
            refused = self.small("refused-" + strategy, mine, expect=3, strategy=strategy)
            for words in ("trainmark.manifest", "11 of the files", f"{files[0].name} is missing", f"{files[2].name} is missing"):
                self.assertIn(words, refused.output)
            self.assertNotIn(files[3].name, refused.output)
        self.assertFalse(self.target.exists())
        remedy = refused.output.split("`trainmark ")[1].split("`")[0].split()  # no space in these paths
        self.assertEqual(self.trainmark(*remedy).code, 0)
        self.assertEqual(self.small("mended", mine).json()["exit_code"], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
