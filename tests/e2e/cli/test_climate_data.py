#!/usr/bin/env python3
"""DeepCAM's data through the commands: generate, inspect, verify, stats, and what they refuse."""
import json
import pathlib
import re
import shutil
import tempfile
import unittest

import h5py
import numpy

from program import MPIRUN, call

SIZE = ["--height", 48, "--width", 72]


class ClimateData(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="trainmark-climate-"))
        done = call("data", "generate", cls.folder / "data", "--workload", "deepcam", *SIZE, "--train-samples", 6, "--validation-samples", 2,
                    launcher=[*MPIRUN, "-n", "2"])
        assert done.returncode == 0, done.stderr
        cls.train = cls.folder / "data/train"

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def images(self):
        return [h5py.File(path)["climate"] for path in sorted(self.train.glob("*.h5"))]

    def refused(self, code, *arguments):
        done = call("data", *arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(done.stderr.count("trainmark: error"), 1, done.stderr)
        return done.stderr

    def test_files_have_the_published_schema(self):
        self.assertEqual([path.name for path in sorted(self.train.iterdir())], [f"data-1996-01-01-{i:02}-1.h5" for i in range(6)])
        group = self.images()[0]
        self.assertEqual((group["data"].shape, group["data"].dtype), ((48, 72, 16), "float32"))
        for labels in ("labels_0", "labels_1"):
            self.assertEqual((group[labels].shape, group[labels].dtype), ((48, 72), "uint8"))
        data = group["data"][:].astype(float)
        for row, value in enumerate((data.mean((0, 1)), data.max((0, 1)), data.min((0, 1)), data.std((0, 1)))):
            numpy.testing.assert_allclose(group["data_stats"][row], value, rtol=1e-4)
        labels = group["labels_0"][:]
        expected = [labels.mean(), labels.max(), labels.min(), labels.std(), *(100 * (labels == c).mean() for c in range(3))]
        numpy.testing.assert_allclose(group["labels_0_stats"][:, 0], expected, rtol=1e-5)

    def test_statistics_are_those_that_numpy_finds(self):
        data = numpy.stack([group["data"][:] for group in self.images()])
        for name, launcher in (("one.h5", []), ("four.h5", [*MPIRUN, "-n", "4"])):
            done = call("data", "stats", self.train, "--output", self.folder / name, "--json", launcher=launcher)
            self.assertEqual(done.returncode, 0, done.stderr)
            said = json.loads(done.stdout)
            self.assertEqual(said["count"], 6 * 48 * 72)
            stats = h5py.File(self.folder / name)["climate"]
            self.assertEqual(stats["minval"][:].tolist(), data.min((0, 1, 2)).tolist())
            self.assertEqual(stats["maxval"][:].tolist(), data.max((0, 1, 2)).tolist())
            numpy.testing.assert_allclose(stats["mean"][:], data.astype(float).mean((0, 1, 2)), rtol=1e-9, atol=1e-9)
            numpy.testing.assert_allclose(stats["sqmean"][:], (data.astype(float) ** 2).mean((0, 1, 2)), rtol=1e-12)
            self.assertEqual(stats["count"][:].tolist(), [6 * 48 * 72] * 16)
        self.assertEqual((self.folder / "one.h5").read_bytes(), (self.folder / "four.h5").read_bytes())

    def test_statistics_go_beside_the_folder_and_replace_the_old_ones(self):
        copy = self.folder / "copy"
        shutil.copytree(self.train, copy / "train")
        (copy / "stats.h5").write_text("old")
        for path in (copy / "train", f"{copy}/train/"):
            done = call("data", "stats", path)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(str(copy / "stats.h5"), done.stdout)
            self.assertIn(f"16 channels of {6 * 48 * 72} values", done.stdout)
            with h5py.File(copy / "stats.h5") as file:
                rows = re.findall(r"channel +(\d+): (\S+) to (\S+), mean (\S+)", done.stdout)
                self.assertEqual(len(rows), 16)
                for channel, least, most, mean in rows:
                    for name, value in (("minval", least), ("maxval", most), ("mean", mean)):
                        self.assertAlmostEqual(float(value), file["climate"][name][int(channel)], delta=1e-5 * abs(float(value)) + 1e-12)
        with h5py.File(copy / "stats.h5") as mine, h5py.File(self.folder / "data/stats.h5") as generated:
            for name in ("minval", "maxval", "mean", "sqmean"):
                self.assertEqual(mine["climate"][name][:].tolist(), generated["climate"][name][:].tolist())

    def test_statistics_of_a_broken_dataset_are_not_written(self):
        broken = self.folder / "broken"
        shutil.copytree(self.train, broken / "train")
        with h5py.File(sorted((broken / "train").iterdir())[3], "r+") as file:
            file["climate/data"][5, 6, 7] = numpy.nan
        said = self.refused(3, "stats", broken / "train")
        self.assertIn("data-1996-01-01-03-1.h5: sample 0: data[5, 6, 7] is nan", said)
        for path in (broken / "train").iterdir():
            with h5py.File(path, "r+") as file:
                file["climate/data"][:, :, 7] = 5
        self.assertIn("channel 7 is 5 everywhere", self.refused(3, "stats", broken / "train"))
        self.assertFalse((broken / "stats.h5").exists())

    def test_inspect_shows_channels_and_classes(self):
        done = call("data", "inspect", self.train, "--workload", "deepcam", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        seen = json.loads(done.stdout)
        self.assertEqual((seen["layout"], seen["samples"]), ("block", 6))
        self.assertEqual([field["shape"] for field in seen["sample"]], [[48, 72, 16], [48, 72]])
        data, labels = seen["values"]
        self.assertEqual(data["channel_maximum"], numpy.stack([g["data"][:] for g in self.images()]).max((0, 1, 2)).astype(float).tolist())
        share = numpy.bincount(numpy.concatenate([g["labels_0"][:].ravel() for g in self.images()]), minlength=3) / (6 * 48 * 72)
        numpy.testing.assert_allclose(labels["class_share"], share, rtol=1e-12)
        relaxed = call("data", "inspect", self.train, "--workload", "deepcam", "--target", "climate/labels_1", "--json")
        self.assertLess(json.loads(relaxed.stdout)["values"][1]["class_share"][0], share[0])
        text = call("data", "inspect", self.train, "--workload", "deepcam").stdout
        self.assertIn("data[..., 15]:", text)
        shown = re.findall(r"^ +([012]) +([\d.]+) %$", text, re.M)
        self.assertEqual([int(label) for label, _ in shown], [0, 1, 2])
        numpy.testing.assert_allclose([float(percent) for _, percent in shown], 100 * share, atol=6e-6)

    def test_verify_names_a_label_that_is_no_class(self):
        self.assertIn("all is well", call("data", "verify", self.train, "--workload", "deepcam").stdout)
        copy = self.folder / "labels"
        shutil.copytree(self.train, copy)
        victim = sorted(copy.iterdir())[2]
        with h5py.File(victim, "r+") as file:
            labels = file["climate/labels_0"][:].astype(">i8")
            labels[3, 4] = 1 << 40
            del file["climate/labels_0"]
            file["climate/labels_0"] = labels
        done = call("data", "verify", copy, "--workload", "deepcam")
        self.assertEqual(done.returncode, 3)
        self.assertIn(f"{victim.name}: sample 0: labels[3, 4] is 1099511627776, legal are 0 to 2", done.stdout)

    def test_a_dataset_of_one_workload_is_none_of_another(self):
        said = self.refused(3, "inspect", self.train)
        self.assertIn("has no dataset 'x' or 'full' for the input", said)
        self.assertIn("'climate/data'", said)
        cubes = self.folder / "cubes"
        self.assertEqual(call("data", "generate", cubes, "--train-samples", 1, "--validation-samples", 1).returncode, 0)
        for command in ("inspect", "verify", "stats"):
            self.assertIn("has no dataset 'climate/data'", self.refused(3, command, cubes / "train", "--workload", "deepcam"))

    def test_options_of_another_workload_are_refused(self):
        other = self.folder / "other"
        self.assertIn("--height is no option of workload cosmoflow", self.refused(2, "generate", other, "--height", 64))
        self.assertIn("--extent is no option of workload deepcam",
                      self.refused(2, "generate", other, "--workload", "deepcam", "--extent", 64))
        self.assertIn("choose block or packed", self.refused(2, "generate", other, "--workload", "deepcam", "--layout", "universe"))
        self.assertIn("is no option of workload deepcam", self.refused(2, "verify", self.train, "--workload", "deepcam", "--extent", 64))
        self.assertFalse(other.exists())


if __name__ == "__main__":
    unittest.main()
