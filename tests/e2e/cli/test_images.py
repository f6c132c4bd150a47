#!/usr/bin/env python3
"""ResNet-50's JPEGs through the commands: generate, inspect, verify, import from a tree of class folders, and what they refuse."""
import json
import pathlib
import shutil
import tempfile
import unittest

import h5py
import numpy

from program import MPIRUN, call

CLASSES = ["n01", "n02", "n10"]


class Images(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="trainmark-images-"))
        done = call("data", "generate", cls.folder / "data", "--workload", "resnet50", "--classes", 3, "--size", 48, "--train-samples", 30,
                    "--validation-samples", 9, "--samples-per-file", 12, launcher=[*MPIRUN, "-n", "2"])
        assert done.returncode == 0, done.stderr
        # The JPEGs of generated files, as a tree of single files.
        cls.images = {}
        for split, below in (("train", "train"), ("validation", "val")):
            for path in sorted((cls.folder / "data" / split).glob("*.hdf5")):
                with h5py.File(path) as file:
                    jpeg, offsets, labels = file["jpeg"][:].tobytes(), file["offsets"][:], file["labels"][:]
                for begin, end, label in zip(offsets, offsets[1:], labels):
                    name = f"{below}/{CLASSES[label]}/image_{len(cls.images):03}.{'JPEG' if begin else 'jpg'}"
                    cls.images[name] = jpeg[begin:end]

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def tree(self, name):
        root = self.folder / name
        for image, content in self.images.items():
            (root / image).parent.mkdir(parents=True, exist_ok=True)
            (root / image).write_bytes(content)
        return root

    def imported(self, tree, target, *options, ranks=1):
        launcher = [*MPIRUN, "-n", str(ranks)] if ranks > 1 else []
        return call("data", "import", "imagenet", tree, self.folder / target, "--images-per-file", 8, *options, launcher=launcher)

    def refused(self, done, *words):
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertEqual(done.stderr.count("trainmark: error"), 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def contents(self, target, split):
        """[(bytes, label)] of all images, and the number of files."""
        found = []
        files = sorted((self.folder / target / split).glob("*.hdf5"))
        for path in files:
            with h5py.File(path) as file:
                jpeg, offsets = file["jpeg"][:].tobytes(), file["offsets"][:]
                found += [(jpeg[b:e], int(label)) for b, e, label in zip(offsets, offsets[1:], file["labels"][:])]
                self.assertEqual([name.decode() for name in file["class_names"][:]], CLASSES)
        return found, len(files)

    def test_generated_files_are_real_jpegs_with_balanced_labels(self):
        with h5py.File(self.folder / "data/train/jpeg_000000.hdf5") as file:
            self.assertEqual((file["jpeg"].dtype, file["offsets"].dtype, file["labels"].dtype), ("uint8", "int64", "int32"))
            self.assertEqual(numpy.bincount(file["labels"][:]).tolist(), [4, 4, 4])
            self.assertEqual(int(file["offsets"][-1]), file["jpeg"].shape[0])
        for image in self.images.values():
            self.assertTrue(image.startswith(b"\xff\xd8") and image.endswith(b"\xff\xd9"))
        self.assertEqual(len(set(self.images.values())), 39)

    def test_inspect_and_verify_know_files_of_jpegs(self):
        done = call("data", "inspect", self.folder / "data/train", "--workload", "resnet50", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('"jpeg"', done.stdout)
        self.assertEqual(json.loads(done.stdout)["sample"][0]["shape"], [224, 224, 3])
        done = call("data", "verify", self.folder / "data/train", "--workload", "resnet50")
        self.assertEqual(done.returncode, 0, done.stderr)
        broken = self.folder / "broken"
        shutil.copytree(self.folder / "data/train", broken)
        with h5py.File(broken / "jpeg_000001.hdf5", "r+") as file:
            end = int(file["offsets"][3])
            file["jpeg"][end - 30:end] = 0xff
        done = call("data", "verify", broken, "--workload", "resnet50")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("jpeg_000001.hdf5: sample 2 is damaged", done.stdout + done.stderr)

    def test_a_tree_is_packed_with_the_images_bytes_and_the_places_of_their_folders(self):
        tree = self.tree("tree")
        for ranks in (1, 3):
            done = self.imported(tree, f"packed{ranks}", "--json", ranks=ranks)
            self.assertEqual(done.returncode, 0, done.stderr)
            said = json.loads(done.stdout)
            self.assertEqual((said["classes"], said["train_images"], said["validation_images"], said["files_written"], said["skipped"]),
                             (3, 30, 9, 6, []))
        for split, below, files in (("train", "train", 4), ("validation", "val", 2)):
            found, count = self.contents("packed1", split)
            expected = [(content, CLASSES.index(name.split("/")[1])) for name, content in self.images.items() if name.startswith(below)]
            self.assertEqual(count, files)
            self.assertEqual(sorted(found), sorted(expected))
            self.assertEqual((found, count), self.contents("packed3", split))
            labels = [label for _, label in found]
            self.assertNotEqual(labels, sorted(labels), "classes are mixed")
        done = call("data", "verify", self.folder / "packed1/train", "--workload", "resnet50")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_an_import_goes_on_where_it_was_interrupted_and_replaces_nothing(self):
        tree = self.tree("again")
        self.assertEqual(self.imported(tree, "resumed").returncode, 0)
        path = self.folder / "resumed/train/images_000002.hdf5"
        before = path.read_bytes()
        path.unlink()
        said = json.loads(self.imported(tree, "resumed", "--json").stdout)
        self.assertEqual((said["files_written"], said["files_kept"]), (1, 5))
        self.assertEqual(path.read_bytes(), before)
        next(iter(sorted(tree.glob("train/n01/*")))).write_bytes(next(iter(self.images.values())) + b"more")
        self.refused(self.imported(tree, "resumed"), "packed from other images")
        stranger = self.folder / "resumed/train/other.h5"
        stranger.write_bytes(b"")
        self.refused(self.imported(self.tree("again"), "resumed"), "other.h5", "does not belong")
        stranger.unlink()
        deeper = self.folder / "resumed/train/below/deeper.hdf5"  # runs read at any depth
        deeper.parent.mkdir()
        deeper.write_bytes(b"")
        self.refused(self.imported(self.tree("again"), "resumed"), "deeper.hdf5", "does not belong")

    def test_a_corrupt_image_ends_the_import_or_is_left_out_by_choice(self):
        tree = self.tree("corrupt")
        victims = sorted(tree.glob("train/n02/*"))
        victims[0].write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 100)
        victims[1].write_bytes(victims[1].read_bytes()[:-200])
        victims[2].write_bytes(b"")
        done = self.imported(tree, "fatal")
        self.refused(done, str(tree / "train/n02"), "--skip-corrupt")
        done = self.imported(tree, "skipped", "--skip-corrupt", "--json", ranks=2)
        self.assertEqual(done.returncode, 0, done.stderr)
        skipped = json.loads(done.stdout)["skipped"]
        self.assertEqual([line.split()[0] for line in skipped], [str(path) for path in victims[:3]])
        for line, reason in zip(skipped, ("is a PNG file, not a JPEG", "is damaged", "is empty")):
            self.assertIn(reason, line)
        self.assertEqual(len(self.contents("skipped", "train")[0]), 27)
        self.refused(self.imported(tree, "skipped"), "was packed without", "--skip-corrupt")
        said = json.loads(self.imported(tree, "skipped", "--skip-corrupt", "--json").stdout)
        self.assertEqual((said["files_written"], said["skipped_before"]), (0, 3))
        (self.folder / "skipped/train/images_000002.hdf5").unlink()
        said = json.loads(self.imported(tree, "skipped", "--skip-corrupt", "--json").stdout)
        now, before = len(said["skipped"]), said["skipped_before"]
        self.assertEqual((said["files_written"], now + before), (1, 3))
        (self.folder / "skipped/train/images_000002.hdf5").unlink()
        told = self.imported(tree, "skipped", "--skip-corrupt").stdout
        self.assertEqual(told.count("left out: "), now)
        self.assertIn(f"3 corrupt images are left out, {before} of them in files that were there already\n", told)

    def test_files_tell_how_many_of_their_images_hold_stray_bytes(self):
        tree = self.tree("stray")
        for victim in (sorted(tree.glob("train/n01/*"))[0], sorted(tree.glob("train/n10/*"))[1]):
            sound = victim.read_bytes()
            self.assertEqual(sound[-2:], b"\xff\xd9")
            victim.write_bytes(sound[:-2] + b"\x12" * 40 + sound[-2:])
        done = self.imported(tree, "with_stray")
        self.assertEqual(done.returncode, 0, done.stderr)
        counts = []
        for path in sorted((self.folder / "with_stray").glob("*/*.hdf5")):
            with h5py.File(path) as file:
                counts.append(int(file.attrs["images_with_stray_bytes"]))
        self.assertEqual((len(counts), sum(counts)), (6, 2))

    def test_trees_whose_folders_do_not_fit_are_refused_before_anything_is_written(self):
        tree = self.tree("folders")
        shutil.rmtree(tree / "val/n10")
        self.refused(self.imported(tree, "none"), str(tree / "val"), "no class folder 'n10'")
        tree = self.tree("folders")
        (tree / "val/n11").mkdir()
        self.refused(self.imported(tree, "none"), str(tree / "train"), "no class folder 'n11'")
        (tree / "val/n11").rmdir()
        (tree / "train/n01/notes.txt").write_text("")
        self.refused(self.imported(tree, "none"), "notes.txt", "no .jpg or .jpeg")
        (tree / "train/n01/notes.txt").rename(tree / "val/flat.JPEG")
        self.refused(self.imported(tree, "none"), "'flat.JPEG' beside its class folders")
        self.refused(self.imported(tree / "train", "none"), "has no folder train")
        self.assertFalse((self.folder / "none").exists())

    def test_statistics_of_channels_are_no_business_of_images(self):
        for launcher in ([], [*MPIRUN, "-n", "2"]):
            done = call("data", "stats", self.folder / "data" / "train", "--workload", "resnet50", launcher=launcher)
            self.assertEqual(done.returncode, 2, done.stderr)
            for words in ("--workload: resnet50 has no channel statistics", "need no stats.h5", "trainmark data inspect"):
                self.assertIn(words, done.stderr)
        self.assertFalse((self.folder / "data" / "stats.h5").exists())

    def test_options_that_are_not_the_workloads_are_refused(self):
        for options in (["--workload", "resnet50", "--extent", 32], ["--workload", "cosmoflow", "--classes", 3],
                        ["--workload", "resnet50", "--layout", "packed"], ["--workload", "resnet50", "--gzip", 1],
                        ["--workload", "resnet50", "--classes", 1], ["--workload", "resnet50", "--size", 31]):
            done = call("data", "generate", self.folder / "never", *options)
            self.assertEqual(done.returncode, 2, (options, done.stderr))
        self.assertFalse((self.folder / "never").exists())


if __name__ == "__main__":
    unittest.main()
