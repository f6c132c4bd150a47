#!/usr/bin/env python3
"""Datasets and staging targets that are wrong: one clear error, exit code 3 (or 2), nothing half-written."""
import os
import pathlib
import shutil
import subprocess
import unittest

import h5py
import numpy

from harness import EndToEnd


class BadData(EndToEnd):
    def refuse(self, *words, expect=3, ranks=0, **changes):
        run = self.run_small(expect=expect, ranks=ranks, **changes)
        for word in words:
            self.assertIn(word, run.output)
        self.assertEqual(run.output.count("trainmark: error"), 1, run.output)
        return run

    def folder_with(self, write) -> dict:
        folder = self.folder / "bad"
        folder.mkdir()
        write(folder)
        return {"train": str(folder)}

    def hdf5(self, **datasets) -> dict:
        def write(folder):
            with h5py.File(folder / "one.hdf5", "w") as file:
                for name, values in datasets.items():
                    file[name] = values
        return self.folder_with(write)

    def volumes(self, count=8, dtype="i2", extent=32):
        return numpy.ones((count, extent, extent, extent, 4), dtype=dtype)

    def test_an_empty_folder(self):
        self.refuse("has no *.hdf5", data=self.folder_with(lambda folder: None))

    def test_a_folder_that_is_not_there(self):
        self.refuse("does not exist", data={"train": str(self.folder / "nowhere")})

    def test_a_missing_dataset_names_those_that_are_there(self):
        self.refuse("one.hdf5", "inputs", data=self.hdf5(inputs=self.volumes(), y=numpy.zeros((8, 4), "f4")))

    def test_a_wrong_rank(self):
        self.refuse("one.hdf5", data=self.hdf5(x=numpy.ones((8, 32, 32), "i2"), y=numpy.zeros((8, 4), "f4")))

    def test_a_wrong_extent(self):
        self.refuse("one.hdf5", "32", data=self.hdf5(x=self.volumes(extent=16), y=numpy.zeros((8, 4), "f4")))

    def test_a_wrong_type(self):
        self.refuse("one.hdf5", data=self.hdf5(x=self.volumes(dtype="f8"), y=numpy.zeros((8, 4), "f4")))

    def test_a_truncated_file(self):
        def write(folder):
            source = sorted((self.data / "train").glob("*.hdf5"))[0]
            data = source.read_bytes()
            (folder / "cut.hdf5").write_bytes(data[:len(data) // 2])
        self.refuse("cut.hdf5", data=self.folder_with(write))

    def test_a_file_that_is_not_hdf5(self):
        self.refuse("text.hdf5", "HDF5", data=self.folder_with(lambda folder: (folder / "text.hdf5").write_text("hello")))

    def test_targets_that_are_not_numbers(self):
        y = numpy.zeros((8, 4), "f4")
        y[5, 2] = numpy.nan
        run = self.run_small(expect=3, data=self.hdf5(x=self.volumes(), y=y))
        self.assertIn("one.hdf5", run.output)
        self.assertEqual(run.json()["exit_code"], 3)
        self.assertIn("aborted", run.log())

    def test_a_bad_target_in_another_ranks_share_is_the_reason_that_run_json_gives(self):
        y = numpy.zeros((8, 4), "f4")
        y[5, 2] = numpy.nan
        done = self.trainmark("run", str(self.write_config(data=self.hdf5(x=self.volumes(), y=y))), ranks=2)
        done.results = self.folder / "results"
        self.assertNotEqual(done.code, 0)
        self.assertEqual(done.json()["exit_code"], 3, done.output)
        self.assertIn("one.hdf5", done.json()["message"])

    def test_counts_below_zero_in_either_split(self):
        x = self.volumes()
        x[6, 1, 2, 3, 0] = -4
        data = self.hdf5(x=x, y=numpy.zeros((8, 4), "f4"))
        for split in "train", "validation":
            run = self.run_small(expect=3, data={split: data["train"]})
            self.assertIn("one.hdf5: sample 6: x[1, 2, 3, 0] is -4, legal are 0 to 32767", run.json()["message"])
            self.assertEqual(run.json()["exit_code"], 3)
        verify = self.trainmark("data", "verify", data["train"])
        self.assertEqual(verify.code, 3, verify.output)
        self.assertIn("one.hdf5: sample 6: x[1, 2, 3, 0] is -4", verify.output)
        inspect = self.trainmark("data", "inspect", data["train"])
        self.assertEqual(inspect.code, 0, inspect.output)
        self.assertIn("1 illegal value(s)", inspect.output)
        self.assertIn("one.hdf5: sample 6: x[1, 2, 3, 0] is -4", inspect.output)

    def test_a_sample_without_counts_has_no_mean_to_be_divided_by(self):
        empty = self.volumes()
        empty[5] = 0
        data = self.hdf5(x=empty, y=numpy.zeros((8, 4), "f4"))["train"]
        for split in "train", "validation":
            run = self.run_small(expect=3, data={split: data}, model={"log_transform": False})
            self.assertIn("one.hdf5: sample 5: x has the mean 0", run.json()["message"])
        self.run_small(name="fine", data={"train": data, "validation": data}, train={"epochs": 1})

    def test_targets_that_fp32_has_no_room_for(self):
        y = numpy.zeros((8, 4), "f8")
        y[2, 3] = 1e39
        run = self.run_small(expect=3, data=self.hdf5(x=self.volumes(), y=y))
        self.assertIn("one.hdf5: sample 2: y[3] is 1e+39", run.json()["message"])

    def test_links_that_lead_to_the_same_folder_again_add_nothing(self):
        def write(folder):
            shutil.copytree(self.data / "train", folder / "v1")
            (folder / "current").symlink_to("v1")
            (folder / "v1" / "all").symlink_to(".")
        run = self.run_small(ranks=2, data=self.folder_with(write), train={"epochs": 1})
        self.assertEqual(run.events()[[event["key"] for event in run.events()].index("train_samples")]["value"], self.samples)

    def test_training_on_files_of_validation_is_refused_and_one_folder_for_both_is_labelled(self):
        data = self.folder / "linked"
        shutil.copytree(self.data, data)
        (data / "train" / "more").symlink_to("../validation")
        for train in (data / "train", data):
            run = self.run_small(ranks=2, expect=3, data={"train": str(train), "validation": str(data / "validation")})
            self.assertIn("of the validation set as well", run.output)
            self.assertEqual(run.output.count("trainmark: error"), 1, run.output)
        run = self.run_small(data={"train": str(self.data / "train"), "validation": str(self.data / "train")},
                             train={"until": "steps", "steps": 1})
        self.assertTrue(any(label.startswith("evaluated on the samples of training") for label in run.json()["labels"]))

    def test_names_that_cannot_be_used_are_counted_on_all_ranks(self):
        def write(folder):
            for file in sorted((self.data / "train").glob("*.hdf5")):
                shutil.copy(file, folder)
            (folder / "a.H5").symlink_to("gone")
            (folder / "b\n.h5").write_bytes(b"")
            os.mkfifo(folder / "c.h5")
            (folder / "d.h5").mkdir()
        self.refuse("4 names cannot be used", "'a.H5' is a link that leads nowhere", "'b\\x0a.h5' has a control character",
                    "'c.h5' is a named pipe", "and 1 more", ranks=2, data=self.folder_with(write))

    def test_more_ranks_than_samples(self):
        self.refuse("ranks", expect=2, ranks=4, data={**self.hdf5(x=self.volumes(2), y=numpy.zeros((2, 4), "f4"))},
                    train={"global_batch": 4})

    def test_a_target_that_cannot_be_written(self):
        blocker = self.folder / "file"
        blocker.write_text("in the way")
        self.refuse("file", ranks=2, stage={"strategy": "replicate", "target": str(blocker / "local")})

    def test_a_target_that_is_too_small_is_refused_before_the_first_byte(self):
        small = self.folder / "small"
        small.mkdir()
        if os.getuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)]).returncode != 0:
            self.skipTest("needs the right to mount a tmpfs")
        try:
            self.refuse("small", ranks=2, stage={"strategy": "replicate", "target": str(small / "local")})
            # Locks stay: taking one away while another run waits for it would let both in.
            self.assertEqual([path for path in small.rglob("*") if path.is_file() and not path.name.startswith(".trainmark.")], [])
        finally:
            subprocess.run(["umount", str(small)], check=True)

    def test_a_corrupted_copy_is_found_and_mended_by_restaging(self):
        staging = {"strategy": "replicate", "target": str(self.folder / "local")}
        self.run_small(stage=staging)
        victim = sorted((self.folder / "local" / "train").rglob("*.hdf5"))[0]
        data = bytearray(victim.read_bytes())
        data[-1] ^= 255
        victim.write_bytes(data)
        verify = self.trainmark("data", "verify", str(self.folder / "local" / "train"))
        self.assertEqual(verify.code, 3, verify.output)
        self.assertIn(victim.name, verify.output)
        again = self.run_small(stage=staging)
        self.assertEqual(again.json("staging.json")["splits"]["train"]["nodes"][0]["files_copied"], 1)
        self.assertEqual(self.trainmark("data", "verify", str(self.folder / "local" / "train")).code, 0)

    def test_a_bad_source_that_is_staged_beside_training_ends_all_ranks_with_its_code(self):
        data = self.folder / "data"
        shutil.copytree(self.data, data)
        listed = self.trainmark("data", "verify", str(data / "train"), "--write")
        self.assertEqual(listed.code, 0, listed.output)
        manifest = data / "train" / "trainmark.manifest"
        entries = [line for line in manifest.read_text().splitlines() if line.endswith(".hdf5")]
        entries[-1] = ("0" if entries[-1][0] != "0" else "1") + entries[-1][1:]  # its hash is another one
        manifest.write_text("\n".join(["trainmark manifest 2", "source\t-", *entries, f"end {len(entries)}\n"]))
        target = self.folder / "local"
        done = self.trainmark("run", str(self.write_config(
            data={"train": str(data / "train"), "validation": str(data / "validation")},
            train={"until": "seconds", "seconds": 600},
            stage={"strategy": "replicate", "mode": "overlap", "target": str(target)})), ranks=2)
        done.results = self.folder / "results"
        self.assertNotEqual(done.code, 0)
        self.assertEqual(done.json()["exit_code"], 3, done.output)
        self.assertIn("its manifest says", done.json()["message"])
        bad = entries[-1].split("\t")[-1]
        self.assertFalse((target / "train" / bad).exists())

    def test_a_source_of_other_times_than_listed_is_compared_before_it_is_trained_on(self):
        for mode in ("before", "overlap"):
            with self.subTest(mode):
                data = self.folder / f"data-{mode}"
                shutil.copytree(self.data, data)
                self.assertEqual(self.trainmark("data", "verify", str(data / "train"), "--write").code, 0)
                victim = max((data / "train").rglob("*.hdf5"))
                content = bytearray(victim.read_bytes())
                content[-1] ^= 1
                victim.write_bytes(content)
                for path in (data / "train").rglob("*.hdf5"):
                    os.utime(path, (1e9, 1e9))
                run = self.run_small(expect=3, ranks=2, data={"train": str(data / "train"), "validation": str(data / "validation")},
                                     stage={"strategy": "replicate", "mode": mode, "target": str(self.folder / mode)},
                                     train={"until": "steps", "steps": 1})
                self.assertIn(victim.name, run.output)

    def test_results_on_a_full_disk_end_the_run_with_an_error(self):
        small = self.folder / "full"
        small.mkdir()
        if os.getuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(small)]).returncode != 0:
            self.skipTest("needs the right to mount a tmpfs")
        try:
            run = self.run_small(expect=4, results={"folder": str(small)})
            self.assertIn("No space left on device", run.output)
        finally:
            subprocess.run(["umount", str(small)], check=True)

    def test_sharding_fewer_files_than_nodes_is_no_problem_on_one_node(self):
        self.run_small(ranks=2, stage={"strategy": "shard", "target": str(self.folder / "local")})


if __name__ == "__main__":
    unittest.main(verbosity=2)
