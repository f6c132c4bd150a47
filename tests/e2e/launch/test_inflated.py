#!/usr/bin/env python3
"""Compressed files staged inflated (stage.inflate): training changes no bit, copies are HDF5 files that anyone reads, are found again
by those whose they are, and a damaged source leaves nothing behind."""
import os
import shutil
import unittest

import h5py

from harness import EndToEnd, Run


class Inflated(EndToEnd):
    def setUp(self):
        super().setUp()
        self.target = self.folder / "local"
        self.compressed = self.folder / "compressed"
        done = self.trainmark("data", "generate", str(self.compressed), "--train-samples", "64", "--validation-samples", "20",
                              "--samples-per-file", "4", "--gzip", "4")
        self.assertEqual(done.code, 0, done.output)

    def small(self, name: str, source=None, expect: int = 0, **stage) -> Run:
        source = source or self.compressed
        run = self.run_small(expect=expect, ranks=2, results={"folder": str(self.folder / name)},
                             data={"train": str(source / "train"), "validation": str(source / "validation")},
                             stage={"strategy": "replicate", "target": str(self.target), **stage})
        run.results = self.folder / name
        return run

    @staticmethod
    def hashes(run: Run) -> list:
        return [row["parameter_hash"] for row in run.table("epochs.csv")]

    @staticmethod
    def node(run: Run, split: str = "train") -> dict:
        return run.json("staging.json")["splits"][split]["nodes"][0]

    def test_training_from_inflated_copies_changes_no_bit(self):
        plain = self.small("plain", target=str(self.folder / "as they are"))
        for form in ("files", "packed"):
            with self.subTest(form):
                self.target = self.folder / f"local-{form}"
                inflated = self.small(f"inflated-{form}", inflate=True, form=form)
                self.assertEqual(self.hashes(inflated), self.hashes(plain))
                self.assertEqual(inflated.json()["texts"]["stage_form"], f"{form}, inflated")
                self.assertEqual(inflated.json("staging.json")["inflated_files"], 16 + 5)
                self.assertEqual(plain.json("staging.json")["inflated_files"], 0)
                self.assertGreater(inflated.json()["figures"]["node_dataset_mib"], 1.5 * plain.json()["figures"]["node_dataset_mib"])
                node = self.node(inflated)
                compressed = sum(path.stat().st_size for path in (self.compressed / "train").glob("*.hdf5"))
                self.assertLess(node["source_read_bytes"], compressed)  # headers were read by the scan
                self.assertGreater(node["source_read_bytes"], 0.9 * compressed)
                self.assertGreater(node["copied_bytes"], 1.5 * compressed)
                again = self.small(f"again-{form}", inflate=True, form=form)
                self.assertEqual((self.node(again)["files_copied"], self.node(again)["files_reused"]), (0, 16))
                self.assertEqual(self.hashes(again), self.hashes(plain))

    def test_copies_are_files_that_anyone_reads_and_a_source_of_their_own(self):
        plain = self.small("plain", target=str(self.folder / "as they are"))
        self.small("inflated", inflate=True)
        for copy in sorted((self.target / "train").glob("*.hdf5")):
            with h5py.File(copy) as here, h5py.File(self.compressed / "train" / copy.name) as there:
                self.assertIsNone(here["x"].chunks)
                self.assertIsNotNone(there["x"].chunks)
                for name in ("x", "y"):
                    self.assertEqual(here[name].dtype, there[name].dtype)
                    self.assertTrue((here[name][:] == there[name][:]).all())
        done = self.trainmark("data", "verify", str(self.target / "train"))
        self.assertEqual(done.code, 0, done.output)
        source, self.target = self.target, self.folder / "second"
        self.assertEqual(self.hashes(self.small("from copies", source=source)), self.hashes(plain))

    def test_a_target_changes_hands_between_both_forms(self):
        for turn, inflate in enumerate((True, False, True)):
            run = self.small(f"turn-{turn}", inflate=inflate)
            self.assertEqual(self.node(run)["files_copied"], 16, turn)
            with h5py.File(next((self.target / "train").glob("*.hdf5"))) as copy:
                self.assertEqual(copy["x"].chunks is None, inflate)

    def test_what_is_not_compressed_is_copied_as_it_is(self):
        run = self.small("plain", source=self.data, inflate=True)
        for path in (self.data / "train").rglob("*.hdf5"):
            self.assertEqual((self.target / "train" / path.relative_to(self.data / "train")).read_bytes(), path.read_bytes())
        self.assertEqual(self.node(run)["source_read_bytes"], self.node(run)["copied_bytes"])
        self.assertEqual((run.json("staging.json")["inflated_files"], run.json()["texts"]["stage_form"]), (0, "files"))

    def test_a_manifest_of_other_times_or_an_earlier_version_keeps_nothing_from_being_inflated(self):
        self.assertEqual(self.trainmark("data", "verify", str(self.compressed / "train"), "--write").code, 0)
        copy = self.folder / "copy"
        shutil.copytree(self.compressed, copy)  # other inodes
        self.assertEqual(self.small("copied", source=copy, inflate=True).json("staging.json")["inflated_files"], 21)
        manifest = self.compressed / "train" / "trainmark.manifest"
        entries = [line for line in manifest.read_text().splitlines() if line.endswith(".hdf5")]
        manifest.write_text("\n".join(["trainmark manifest 2", "source\t-", *entries, f"end {len(entries)}\n"]))
        self.target = self.folder / "second"
        self.assertEqual(self.small("second", inflate=True).json("staging.json")["inflated_files"], 21)

    def test_a_source_that_is_not_what_its_manifest_hashed_is_not_inflated(self):
        self.assertEqual(self.trainmark("data", "verify", str(self.compressed / "train"), "--write").code, 0)
        victim = sorted((self.compressed / "train").glob("*.hdf5"))[3]
        with h5py.File(victim) as file:
            offset = file["y"].id.get_offset()
        facts = victim.stat()
        with victim.open("r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 1]))
        os.utime(victim, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        run = self.small("flipped", expect=3, inflate=True)
        self.assertIn("its manifest says", run.json()["message"])
        self.assertIn(victim.name, run.json()["message"])

    def test_what_was_staged_is_probed(self):
        config = str(self.write_config(data={"train": str(self.compressed / "train"), "validation": str(self.compressed / "validation")},
                                       stage={"strategy": "replicate", "target": str(self.target), "inflate": True, "verify": "none"}))
        self.assertEqual(self.trainmark("stage", config).code, 0)
        looked = self.trainmark("stage", config, "--verify", "--set", "stage.verify=copy")
        self.assertEqual(looked.code, 0, looked.output)
        probed = self.trainmark("probe", config, "--json", "--seconds", "8")
        self.assertEqual(probed.code, 0, probed.output)
        self.assertIn("read_staged_bytes_per_s", probed.output)

    def test_a_damaged_source_ends_all_ranks_and_leaves_no_copy_of_it(self):
        victim = sorted((self.compressed / "train").glob("*.hdf5"))[5]
        with h5py.File(victim) as file:
            chunk = file["x"].id.get_chunk_info(0)
        content = bytearray(victim.read_bytes())
        middle = chunk.byte_offset + chunk.size // 2
        content[middle:middle + 16] = bytes(16)
        victim.write_bytes(content)
        run = self.small("damaged", expect=3, inflate=True)
        self.assertIn(victim.name, run.json()["message"])
        self.assertFalse((self.target / "train" / victim.name).exists())
        self.assertEqual([path for path in self.target.rglob(".trainmark-*") if "journal" not in path.name and "lock" not in path.name], [])

    def test_no_manifest_of_the_source_comes_of_it(self):
        config = str(self.write_config(data={"train": str(self.compressed / "train"), "validation": str(self.compressed / "validation")},
                                       stage={"strategy": "replicate", "target": str(self.target), "inflate": True}))
        done = self.trainmark("stage", config, "--write-manifest")
        self.assertEqual(done.code, 2, done.output)
        self.assertIn("/stage/inflate", done.output)
        self.assertFalse((self.compressed / "train" / "trainmark.manifest").exists())
        self.assertEqual(self.trainmark("stage", config).code, 0)
        self.assertEqual(self.trainmark("stage", config, "--verify").code, 0)


if __name__ == "__main__":
    unittest.main()
