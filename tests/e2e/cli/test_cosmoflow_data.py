#!/usr/bin/env python3
"""CosmoFlow's public forms through the commands: TFRecords, plain and gzip, and universes, written by Python, imported, compared byte by byte."""
import gzip
import json
import pathlib
import shutil
import struct
import tempfile
import unittest

import h5py
import numpy

import records
from program import MPIRUN, ROOT, call

EXTENT = 32


class CosmoflowData(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="trainmark-cosmoflow-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def imported(self, form, source, target, *options, ranks=1):
        launcher = [*MPIRUN, "-n", str(ranks)] if ranks > 1 else []
        return call("data", "import", f"cosmoflow-{form}", self.folder / source, self.folder / target, "--extent", EXTENT, *options,
                    launcher=launcher)

    def succeeded(self, *arguments, **options) -> dict:
        done = self.imported(*arguments, "--json", **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def refused(self, done, *words):
        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
        self.assertEqual(done.stderr.count("trainmark: error"), 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def contents(self, target, split):
        """{where each sample is from: (bytes of x, bytes of y)}, and the files' bytes."""
        found, files = {}, {}
        for path in sorted((self.folder / target / split).glob("*.hdf5")):
            files[path.name] = path.read_bytes()
            with h5py.File(path) as file:
                x, y = file["x"][:], file["y"][:]
                self.assertEqual((x.dtype, y.dtype, x.shape[1:], y.shape[1:]), ("<i2", "<f4", (EXTENT,) * 3 + (4,), (4,)))
                for source, counts, parameters in zip(file["sources"][:], x, y, strict=True):
                    self.assertNotIn(source, found)
                    found[source.decode()] = (counts.tobytes(), parameters.tobytes())
        return found, files

    def records(self, source, train=5, validation=2):
        """A set as it is published, in all the encodings that occur: one record a file, with several in the last of training."""
        expected = {"train": {}, "validation": {}}
        for number in range(train + validation):
            split = "train" if number < train else "validation"
            name = f"univ_{number // 3}_{number:03}.tfrecord"
            samples = [records.sample(100 * number + each, EXTENT) for each in range(3 if number == train - 1 else 1)]
            messages = []
            for each, (counts, parameters) in enumerate(samples):
                more = {"name": records.bytes_feature(b"univ"), "redshift": records.float_feature([0, 3]), "id": records.int_feature([7, 1 << 40])}
                if number == 1:
                    messages.append(records.example(y=records.bytes_feature(parameters.tobytes()), x=records.bytes_feature(counts.tobytes())))
                else:
                    messages.append(records.cosmoflow(counts, parameters, number != 2, **(more if number == 3 else {})))
                expected[split][f"{name}, record {each}"] = (counts.tobytes(), parameters.tobytes())
            records.write(self.folder / source / split / name, *messages, compressed=number % 2 == 0)
        return expected

    def broken(self, name, data, *words, corrupt=1):
        """Imports a set with such a file: it ends the import with these words, or is left out."""
        source = f"broken_{name}"
        expected = self.records(source, 2, 1)
        path = self.folder / source / "train" / "wrong.tfrecord"
        path.write_bytes(data)
        self.refused(self.imported("tfrecord", source, source + "_in"), str(path), *words, "--skip-corrupt")
        self.assertEqual(self.contents(source + "_in", "train"), ({}, {}))
        said = self.succeeded("tfrecord", source, source + "_in", "--skip-corrupt")
        self.assertEqual(len(said["skipped"]), corrupt)
        for word in words:
            self.assertIn(word, said["skipped"][0])
        found = self.contents(source + "_in", "train")[0]
        self.assertLessEqual(expected["train"].items(), found.items())
        return {name for name in found if name.startswith("wrong")}

    def test_the_writer_knows_the_published_checksums(self):
        # RFC 3720, B.4.
        self.assertEqual(records.crc32c(bytes(32)), 0x8A9136AA)
        self.assertEqual(records.crc32c(b"\xff" * 32), 0x62A8AB43)
        self.assertEqual(records.crc32c(bytes(range(32))), 0x46DD794E)

    def test_records_arrive_byte_by_byte_from_any_number_of_ranks(self):
        expected = self.records("tf")
        made = {}
        for ranks in (1, 2):
            said = self.succeeded("tfrecord", "tf", f"in{ranks}", "--files-per-file", 2, ranks=ranks)
            self.assertEqual((said["train_samples"], said["validation_samples"], said["files_written"], said["skipped"]), (7, 2, 4, []))
            for split in ("train", "validation"):
                found, made[ranks, split] = self.contents(f"in{ranks}", split)
                self.assertEqual(found, expected[split])
        for split, files in (("train", 3), ("validation", 1)):
            self.assertEqual(len(made[1, split]), files)
            self.assertEqual(made[1, split], made[2, split])
            done = call("data", "verify", self.folder / "in1" / split)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        order = list(self.contents("in1", "train")[0])
        self.assertNotEqual(order, sorted(order), "files are mixed")
        self.assertEqual(self.succeeded("tfrecord", "tf", "packed", "--gzip", 4)["train_samples"], 7)
        self.assertEqual(self.contents("packed", "train")[0], expected["train"])
        inspected = call("data", "inspect", self.folder / "packed/train", "--json")
        self.assertIn("deflate", inspected.stdout)
        self.assertNotIn('"by_library": "it', inspected.stdout)

    def test_an_import_goes_on_where_it_was_interrupted_and_replaces_nothing(self):
        self.records("tf")
        self.succeeded("tfrecord", "tf", "in", "--files-per-file", 2)
        path = self.folder / "in/train/samples_000001.hdf5"
        before = path.read_bytes()
        path.unlink()
        said = self.succeeded("tfrecord", "tf", "in", "--files-per-file", 2)
        self.assertEqual((said["files_written"], said["files_kept"], said["train_samples"]), (1, 3, 7))
        self.assertEqual(path.read_bytes(), before)
        self.refused(self.imported("tfrecord", "tf", "in", "--files-per-file", 2, "--gzip", 1), "is in the way", "or with other options")
        self.refused(self.imported("tfrecord", "tf", "in", "--files-per-file", 3), "does not belong")
        counts, parameters = records.sample(77, EXTENT)  # as large as before
        records.write(self.folder / "tf/validation/univ_1_005.tfrecord", records.cosmoflow(counts, parameters))
        self.refused(self.imported("tfrecord", "tf", "in", "--files-per-file", 2), "validation", "packed from other files")

    def test_damaged_records_are_named_with_number_and_byte(self):
        counts, parameters = records.sample(1, EXTENT)
        good = records.record(records.cosmoflow(counts, parameters))
        other = records.record(records.cosmoflow(*records.sample(2, EXTENT)))
        at = len(good)
        third = "wrong.tfrecord, record 2"

        def flipped(data, byte):
            return data[:byte] + bytes([data[byte] ^ 16]) + data[byte + 1:]

        where = f"record 1 at byte {at}"
        self.assertEqual(self.broken("data", good + flipped(good, 1000) + other, f"{where} is damaged: the CRC of its data"),
                         {"wrong.tfrecord, record 0", third})
        self.assertEqual(self.broken("length", good + flipped(good, 2) + other, f"{where} is damaged: the CRC of its length"),
                         {"wrong.tfrecord, record 0"})
        self.broken("cut", good + other[:-5], f"{where} is cut short")
        self.broken("cut_head", good + other[:7], f"{where} is cut short: 7 bytes are left")
        self.broken("none", b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file, and holds no records")
        self.broken("noise", bytes(range(200, 256)) * 3, "record 0 at byte 0 is damaged: the CRC of its length", "no records at all")
        self.broken("short", b"text", "record 0 at byte 0 is cut short: 4 bytes are left")
        self.broken("empty", b"", "is empty")

    def test_damaged_gzip_is_named(self):
        good = records.record(records.cosmoflow(*records.sample(1, EXTENT)))
        coded = gzip.compress(good)
        words = "is damaged or cut short: its gzip data from byte 0 on"
        self.broken("gzip_cut", coded[:-9], words)
        self.broken("gzip_early", coded[:40], words)
        self.broken("gzip_bits", coded[:500] + bytes([coded[500] ^ 64]) + coded[501:], words)
        self.broken("gzip_length", coded[:-4] + struct.pack("<I", 0xFFFFFFF0), words)
        self.broken("gzip_more", coded + b"more", f"has 4 bytes behind its gzip data, from byte {len(coded)} on")
        self.broken("gzip_empty", gzip.compress(b""), "inflates to nothing")
        self.broken("gzip_records", gzip.compress(good + good[:100]), f"record 1 at byte {len(good)} of what it inflates to is cut short")
        # Two members are one file.
        self.records("members", 1, 1)
        (self.folder / "members/train/two.tfrecord").write_bytes(coded + gzip.compress(good[:300]) + gzip.compress(good[300:]))
        self.assertEqual(self.succeeded("tfrecord", "members", "members_in")["train_samples"], 5)

    def test_samples_that_cannot_be_used_are_named(self):
        counts, parameters = records.sample(1, EXTENT)
        x, y = records.bytes_feature(counts.tobytes()), records.float_feature(parameters)
        negative, beyond = counts.copy(), parameters.copy()
        negative[3, 2, 1, 0] = -4
        beyond[2] = 1.5
        smaller = records.sample(1, 16)[0].tobytes()
        cases = {
            "no_y": (dict(x=x, z=y), "has no feature 'y', but 'z'"), "no_x": (dict(y=y), "has no feature 'x'"),
            "size": (dict(x=records.bytes_feature(smaller), y=y), "has 32768 bytes in 'x' (those of an extent of 16), not the 262144 of 32x32x32x4 i16"),
            "odd": (dict(x=records.bytes_feature(counts.tobytes()[:-1]), y=y), "has 262143 bytes in 'x', not the 262144"),
            "three": (dict(x=x, y=records.float_feature(parameters[:3])), "has 12 bytes in 'y', not the 16 of 4 f32"),
            "floats": (dict(x=records.float_feature(range(8)), y=y), "has floats in 'x', expected bytes of i16"),
            "integers": (dict(x=x, y=records.int_feature([0, 1, 1, 0])), "has 64-bit integers in 'y', expected floats"),
            "several": (dict(x=records.bytes_feature(counts.tobytes(), b""), y=y), "has several byte strings in 'x'"),
            "nothing": (dict(x=x, y=b""), "has nothing in its feature 'y'"),
            "negative": (dict(x=records.bytes_feature(negative.tobytes()), y=y), "holds an illegal value: x[3, 2, 1, 0] is -4, legal are 0 to 32767"),
            "nan": (dict(x=x, y=records.float_feature([0, float("nan"), 0, 0])), "holds an illegal value: y[1] is nan"),
            "beyond": (dict(x=x, y=records.float_feature(beyond)), "holds an illegal value: y[2] is 1.5, legal are -1.2 to 1.2"),
        }
        for name, (features, words) in cases.items():
            with self.subTest(name):
                self.assertEqual(self.broken(name, records.record(records.example(**features)), f"record 0 at byte 0 {words}"), set())
        twice = records.example(x=x, y=y) + records.example(x=x)
        self.broken("twice", records.record(twice), "has two features 'x'")
        self.broken("text", records.record(b"This is no message."), "is no tf.train.Example")

    def test_records_left_out_are_counted_and_known_again(self):
        self.records("tf", 3, 1)
        (self.folder / "tf/train/wrong.tfrecord").write_bytes(b"text")
        told = self.imported("tfrecord", "tf", "in", "--skip-corrupt", ranks=2).stdout
        self.assertIn("5 + 1 samples; 2 files written, 0 kept", told)
        self.assertEqual(told.count("left out: "), 1)
        self.assertIn("1 corrupt records are left out, 0 of them in files that were there already\n", told)
        self.refused(self.imported("tfrecord", "tf", "in"), "was packed without 1 corrupt records", "--skip-corrupt")
        said = self.succeeded("tfrecord", "tf", "in", "--skip-corrupt")
        self.assertEqual((said["files_written"], said["skipped"], said["skipped_before"], said["train_samples"]), (0, [], 1, 5))
        for path in (self.folder / "tf/validation").iterdir():
            path.write_bytes(b"")
        self.refused(self.imported("tfrecord", "tf", "none", "--skip-corrupt", ranks=2), "validation", "no sample of its 1 files can be used")

    def test_folders_without_files_and_targets_that_cannot_be_written_are_refused(self):
        self.records("tf", 1, 1)
        self.refused(self.imported("tfrecord", "tf/train", "in"), "has no folder train", "validation")
        shutil.rmtree(self.folder / "tf/validation")
        self.refused(self.imported("tfrecord", "tf", "in"), "has no folder validation")
        (self.folder / "tf/val").mkdir()
        self.refused(self.imported("tfrecord", "tf", "in", ranks=2), "tf/val", "has no files of records (*.tfrecord)")
        self.refused(self.imported("universe", "tf", "in"), "tf/train", "has no universes (*.hdf5)")
        self.assertFalse((self.folder / "in").exists())
        self.records("tf", 1, 1)
        (self.folder / "file").write_text("")
        for ranks in (1, 2):
            self.refused(self.imported("tfrecord", "tf", "file/below", ranks=ranks), "the folder cannot be created", "Not a directory")
        done = call("data", "import", "cosmoflow-tfrecord", self.folder / "tf", self.folder / "in", "--extent", 31)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("31 is not a positive multiple of 32", done.stderr)

    def universes(self, source):
        """Three universes of 2 x 1 x 3 blocks, contiguous, in chunks that fit no block, and big-endian."""
        expected = {"train": {}, "validation": {}}
        layouts = [("train", "4/univ_a.hdf5", {}), ("train", "2/univ_b.hdf5", {"chunks": (24, 32, 40, 4), "compression": "gzip"}),
                   ("validation", "univ_c.h5", {"dtype": ">i2"})]
        for number, (split, name, layout) in enumerate(layouts):
            counts = numpy.concatenate([numpy.concatenate([records.sample(100 * number + 10 * i + k, EXTENT)[0] for k in range(3)], axis=2)
                                        for i in range(2)])
            parameters = records.sample(number)[1]
            path = self.folder / source / split / name
            path.parent.mkdir(parents=True, exist_ok=True)
            records.write_universe(path, counts, parameters, **layout)
            for block, (i, k) in enumerate((i, k) for i in range(2) for k in range(3)):
                cube = counts[EXTENT * i:EXTENT * (i + 1), :, EXTENT * k:EXTENT * (k + 1)]
                expected[split][f"{name}, block {block}"] = (cube.tobytes(), parameters.tobytes())
        return expected

    def test_universes_are_cut_as_the_reference_cuts_them(self):
        expected = self.universes("hdf5")
        made = {}
        for ranks in (1, 2):
            said = self.succeeded("universe", "hdf5", f"in{ranks}", ranks=ranks)
            self.assertEqual((said["train_samples"], said["validation_samples"], said["files_written"]), (12, 6, 3))
            for split in ("train", "validation"):
                found, made[ranks, split] = self.contents(f"in{ranks}", split)
                self.assertEqual(found, expected[split])
                self.assertEqual(made[ranks, split], made[1, split])
        kept = self.succeeded("universe", "hdf5", "in1")
        self.assertEqual((kept["files_written"], kept["files_kept"], kept["train_samples"]), (0, 3, 12))
        self.assertEqual(call("data", "verify", self.folder / "in1/train").returncode, 0)

    def test_files_that_are_no_universes_are_named_or_left_out_whole(self):
        expected = self.universes("hdf5")
        counts, parameters = records.sample(1, 2 * EXTENT)
        negative = counts.copy()
        negative[40, 3, 50, 2] = -1
        wrong = self.folder / "hdf5/train/wrong.hdf5"

        def universe(counts=counts, parameters=parameters, **layout):
            records.write_universe(wrong, counts, parameters, **layout)

        def without(name):
            universe()
            with h5py.File(wrong, "r+") as file:
                del file[name]

        def cut():
            universe()
            wrong.write_bytes(wrong.read_bytes()[:-5000])

        cases = [(lambda: without("full"), "has no dataset 'full'; it has 'physPar', 'redshifts', 'unitPar'"),
                 (lambda: without("unitPar"), "has no dataset 'unitPar'"),
                 (lambda: universe(counts[:48]), "has shape 48x64x64x4, which cannot be cut into samples of 32x32x32x4"),
                 (lambda: universe(counts[..., :3]), "has shape 64x64x64x3, expected UxUxUx4"),
                 (lambda: universe(counts.astype("float32")), "dataset 'full' is float32, expected integers"),
                 (lambda: universe(parameters=parameters[:3]), "dataset 'unitPar' has shape 3, expected 4"),
                 (lambda: universe(parameters=parameters * numpy.nan), "block 0 holds an illegal value: y[0] is nan"),
                 (lambda: universe(negative), "block 5 holds an illegal value: x[8, 3, 18, 2] is -1"),
                 (cut, "is cut short"), (lambda: wrong.write_bytes(b"text"), "is not an HDF5 file")]
        for number, (make, words) in enumerate(cases):
            with self.subTest(words):
                make()
                self.refused(self.imported("universe", "hdf5", f"in{number}"), str(wrong), words)
                said = self.succeeded("universe", "hdf5", f"in{number}", "--skip-corrupt")
                self.assertEqual((len(said["skipped"]), said["train_samples"]), (1, 12))
                self.assertIn(words, said["skipped"][0])
                self.assertEqual(self.contents(f"in{number}", "train")[0], expected["train"])

    def test_a_run_trains_on_imported_sets(self):
        self.records("tf", 14, 4)
        self.universes("hdf5")
        for form, source in (("tfrecord", "tf"), ("universe", "hdf5")):
            said = self.succeeded(form, source, form)
            done = call("run", ROOT / "configs/cosmoflow/smoke.json", "--json", "--set", f"results.folder={self.folder}/results",
                        "--set", "train.steps=2", "--set", "train.global_batch=4",
                        env={"TRAINMARK_DATA": str(self.folder / form)})
            self.assertEqual(done.returncode, 0, done.stderr)
            run = json.loads(done.stdout)
            log = (pathlib.Path(run["results"]) / "mlperf.log").read_text()
            self.assertEqual(run["steps"], 2)
            for key in ("train_samples", "eval_samples"):
                self.assertRegex(log, f'"{key}", "value": {said[key.replace("eval", "validation")]}\\b')


if __name__ == "__main__":
    unittest.main()
