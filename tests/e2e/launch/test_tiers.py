#!/usr/bin/env python3
"""Several targets of which the first with room is taken, copies that are read back from their device, and readers that come as
they are needed."""
import json
import os
import pathlib
import subprocess
import unittest

from harness import EndToEnd


class OnDisks(EndToEnd):
    def memory(self, name: str, size: str) -> pathlib.Path:
        """A tmpfs of its own."""
        folder = self.folder / name
        folder.mkdir()
        if os.getuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]).returncode != 0:
            self.skipTest("needs the right to mount a tmpfs")
        self.addCleanup(subprocess.run, ["umount", str(folder)], check=True)
        return folder

    def skip_in_memory(self):
        kind = subprocess.run(["stat", "-f", "-c", "%T", str(self.folder)], capture_output=True, text=True).stdout.strip()
        if kind in ("tmpfs", "ramfs"):
            self.skipTest("the tests' folder is in memory")

    @staticmethod
    def staged(*folders, **more) -> dict:
        return {"strategy": "replicate", "target": [str(folder) for folder in folders], **more}

    @staticmethod
    def files(folder: pathlib.Path) -> int:
        return len(list(folder.rglob("*.hdf5")))


class Tiers(OnDisks):
    def test_the_first_target_with_room_is_taken_and_the_clock_follows_it(self):
        self.skip_in_memory()
        small, disk = self.memory("small", "1m"), self.folder / "disk"
        run = self.run_small(ranks=2, stage=self.staged(small / "tm", disk))
        told = run.json("staging.json")
        self.assertEqual((told["target"], told["inside_the_clock"]), (str(disk), False))
        for words in ("not so in node ", f"{small} has 1.0 MiB free, staging needs "):
            self.assertIn(words, told["target_why"])
        texts = run.json()["texts"]
        self.assertEqual((texts["stage_target"], texts["stage_target_why"]), (str(disk), told["target_why"]))
        self.assertIn(f"staging to {disk}: every node's part fits; not so in node ", run.output)
        self.assertEqual(list(small.iterdir()), [], "nothing was begun there")
        self.assertEqual(told["splits"]["train"]["root"], str(disk / "train"))
        count = self.files(disk)
        self.assertGreater(count, 0)

        large = self.memory("large", "512m")
        run = self.run_small(stage=self.staged(large / "tm", disk), results={"folder": str(self.folder / "in-memory")})
        run.results = self.folder / "in-memory"
        told = run.json("staging.json")
        self.assertEqual((told["target"], told["inside_the_clock"]), (str(large / "tm"), True), "memory survives no restart")
        self.assertEqual(self.files(large), count)

    def test_a_target_that_holds_all_needs_no_room(self):
        small, disk = self.memory("filled", "64m"), self.folder / "disk"
        self.run_small(stage=self.staged(small / "tm", disk))
        (small / "filler").write_bytes(b"x" * (os.statvfs(small).f_bavail * os.statvfs(small).f_frsize))
        run = self.run_small(stage=self.staged(small / "tm", disk), results={"folder": str(self.folder / "again")})
        run.results = self.folder / "again"
        self.assertEqual(run.json("staging.json")["target"], str(small / "tm"))
        self.assertEqual(run.json("staging.json")["splits"]["train"]["nodes"][0]["files_copied"], 0)

    def test_where_none_has_room_each_is_named(self):
        first, second = self.memory("first", "1m"), self.memory("second", "2m")
        run = self.run_small(ranks=2, expect=3, stage=self.staged(first / "tm", second / "tm"))
        for words in ("none of 2 folders has room on every node", f"{first} has 1.0 MiB free, staging needs ",
                      f"{second} has 2.0 MiB free, staging needs ", "nothing was copied"):
            self.assertIn(words, run.output)
        self.assertEqual(run.output.count("trainmark: error"), 1, run.output)
        self.assertEqual([*first.iterdir(), *second.iterdir()], [])

    def test_staging_beside_training_and_by_itself_take_the_same_target(self):
        small, disk = self.memory("small", "1m"), self.folder / "disk"
        stage = self.staged(small / "tm", disk, mode="overlap")
        run = self.run_small(stage=stage)
        self.assertEqual(run.json("staging.json")["target"], str(disk))
        config = str(self.write_config(stage=stage))
        self.assertEqual(self.trainmark("stage", config).code, 0)  # a run may end before all is there
        done = self.trainmark("stage", config, "--verify", "--json", "--quiet")
        self.assertEqual(done.code, 0, done.output)
        told = json.loads(done.output)
        self.assertEqual((told["target"], told["verify"]), (str(disk), "copy"))
        self.assertEqual(self.trainmark("plan", config).code, 0)

    def test_cleaning_empties_every_target(self):
        first, second = self.folder / "one", self.folder / "two"
        for target in ([second], [first, second]):
            done = self.trainmark("stage", str(self.write_config(stage=self.staged(*target))))
            self.assertEqual(done.code, 0, done.output)
        count = self.files(first)
        self.assertEqual(self.files(second), count)
        done = self.trainmark("stage", str(self.write_config(stage=self.staged(first, second))), "--clean")
        self.assertEqual(done.code, 0, done.output)
        self.assertIn(f"removed {2 * count} files", done.output)
        self.assertIn(f"from {first}, {second} on 1 node(s)", done.output)
        self.assertEqual(self.files(self.folder / "one") + self.files(second), 0)


class ReadBack(OnDisks):
    def test_a_disk_that_keeps_other_bytes_is_found_before_a_file_takes_its_place(self):
        self.skip_in_memory()
        target = self.folder / "local"
        damaging = {"LD_PRELOAD": os.environ["TRAINMARK_FAILING_CALLS"], "DAMAGE_SYNCED_IN": f"{target}/train/.trainmark-"}
        run = self.run_small(ranks=2, expect=3, stage=self.staged(target, verify="readback"), env=damaging)
        for words in (f"{target}/train/", "holds XXH3 ", " was written (read back from node ", "have its disk and memory tested"):
            self.assertIn(words, run.output)
        self.assertEqual(self.files(target / "train"), 0)
        unseen = self.run_small(stage=self.staged(target, verify="copy"), env=damaging, train={"until": "steps", "steps": 1},
                                results={"folder": str(self.folder / "unseen")})
        unseen.results = self.folder / "unseen"
        self.assertNotIn("read_back_bytes", unseen.json("staging.json")["splits"]["train"]["nodes"][0])
        found = self.trainmark("stage", str(self.write_config(stage=self.staged(target, verify="readback"))), "--verify", "--json")
        self.assertEqual(found.code, 3, "what is there is hashed from the device, too")

    def test_what_was_read_back_and_from_where_is_told(self):
        self.skip_in_memory()
        run = self.run_small(ranks=2, stage=self.staged(self.folder / "local", verify="readback"))
        for split in ("train", "validation"):
            node = run.json("staging.json")["splits"][split]["nodes"][0]
            self.assertEqual(node["read_back_bytes"], node["copied_bytes"])
            self.assertGreater(node["read_back_s"], 0.0)
            self.assertLessEqual(node["read_back_s"], node["copy_s"])
            self.assertGreaterEqual(node["read_back_from_storage_bytes"], 0)
        self.assertIn(" MiB of the target: ", run.output)
        self.assertEqual(run.json()["texts"]["stage_verify"], "readback")

    def test_memory_has_no_device_to_read_back_from(self):
        memory = self.memory("memory", "512m")
        run = self.run_small(stage=self.staged(memory / "tm", verify="readback"))
        self.assertIn("is in memory: there is no device to read copies back from", run.output)
        node = run.json("staging.json")["splits"]["train"]["nodes"][0]
        self.assertEqual((node["read_back_bytes"], node["read_back_from_storage_bytes"]), (0, 0))
        self.assertGreater(node["files_copied"], 0)


class Readers(EndToEnd):
    def test_readers_that_are_found_out_train_the_same_to_the_bit(self):
        # Steps of a device that is not there take no time, so they wait for input.
        fast = {"backend": {"device": "emulated", "emulated": {"train_ms": 0.01, "eval_ms": 0.01}},
                "train": {"until": "steps", "steps": 40, "global_batch": 2}}
        run = self.run_small(ranks=2, load={"threads": "auto"}, **fast)
        figures, texts = run.json()["figures"], run.json()["texts"]
        self.assertGreaterEqual(figures["reader_threads"], 1)
        self.assertTrue(texts["reader_threads_why"] and texts["eval_reader_threads_why"])
        for row in run.table("ranks.csv"):
            self.assertGreaterEqual(int(row["reader_threads"]), 1)
            self.assertGreaterEqual(int(row["eval_reader_threads"]), 1)
        hashes = []
        for threads in (1, "auto"):
            results = self.folder / str(threads)
            run = self.run_small(ranks=2, load={"threads": threads}, results={"folder": str(results)})
            run.results = results
            hashes.append([row["parameter_hash"] for row in run.table("epochs.csv")])
        self.assertEqual(hashes[0], hashes[1])


class Kept(EndToEnd):
    sample_mib = (32 ** 3 * 4 * 2 + 16) / 2 ** 20

    def kept(self, memory_mib, ranks: int = 0) -> tuple:
        results = self.folder / f"{memory_mib}-{ranks}"
        run = self.run_small(ranks=ranks, train={"epochs": 3}, load={"threads": 2, "memory_mib": memory_mib}, results={"folder": str(results)})
        run.results = results
        rows = run.table("epochs.csv")
        trained = ([row["loss"] for row in run.table("steps.csv")], [(row["eval_metric"], row["parameter_hash"]) for row in rows])
        asked, memory = ([float(row[column]) / self.sample_mib for row in rows] for column in ("asked_mib", "from_memory_mib"))
        return run, trained, asked, memory

    def test_samples_that_are_kept_are_read_once_and_change_no_loss(self):
        for ranks in (0, 2):
            plain, trained, _, memory = self.kept(0, ranks)
            self.assertEqual(memory, [0, 0, 0])
            self.assertNotIn("kept_mib", plain.json()["figures"])
            run, kept, asked, memory = self.kept(64, ranks)
            self.assertEqual(kept, trained)
            read = [all_of - some for all_of, some in zip(asked, memory)]
            figures = run.json()["figures"]
            self.assertGreater(sum(memory), 2 * self.validation_samples)
            if ranks:  # a rank comes by other samples in each epoch, but by the same in each evaluation
                self.assertGreater(sum(read), 84)
                self.assertLess(sum(read), 2 * self.samples + self.validation_samples + 0.1)
                self.assertGreater(memory[2], memory[1])
            else:
                self.assertAlmostEqual(sum(read), self.samples + self.validation_samples, places=1)
                self.assertAlmostEqual(asked[1] + asked[2], memory[1] + memory[2], places=1)
                self.assertEqual(figures["kept_samples"], 84)
                self.assertEqual(figures["load_memory_mib"], 22, "all that there is, rounded up")
                self.assertAlmostEqual(figures["kept_mib"], 84 * self.sample_mib, places=2)
            self.assertGreater(figures["read_mib"], figures["read_from_memory_mib"])
            for row in run.table("ranks.csv"):
                self.assertGreater(float(row["read_from_memory_mib"]), 0)
            # All 64 samples, and an evaluation's 20: of these one of two ranks evaluates 4 in each of 3 steps at most.
            self.assertIn(f"samples are kept in memory for later epochs, up to {20 if ranks else 22} MiB a rank (all samples that the rank "
                          "comes by)", run.output)

    def test_what_does_not_fit_is_read_each_time(self):
        _, trained, _, _ = self.kept(0)
        run, kept, _, memory = self.kept(8)
        self.assertEqual(kept, trained)
        figures = run.json()["figures"]
        self.assertEqual((figures["kept_samples"], figures["load_memory_mib"]), (20 + 11, 8), "an evaluation's, and what came first")
        self.assertLessEqual(figures["kept_mib"], 8)
        self.assertGreater(sum(memory), 2 * 31 - 0.1, "in two epochs, and what was read ahead of a fourth")
        self.assertLess(sum(memory), 3 * 31 + 0.1)

    def test_what_a_launch_decides_is_told(self):
        run, _, _, _ = self.kept("auto", 2)
        record = run.json()
        self.assertEqual(record["figures"]["load_memory_mib"], 20)
        self.assertEqual(record["texts"]["load_memory_why"], "all samples that the rank comes by")


if __name__ == "__main__":
    unittest.main(verbosity=2)
