#!/usr/bin/env python3
"""Each row of docs/data.md's table of HDF5 forms: what is read gives the numbers of the plain form, what is not read is
refused in the words of the row."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import h5py
import numpy

import forms
import forms_elsewhere  # noqa: F401  adds its forms
from harness import BINARY, ROOT


def table() -> dict:
    """Answer and reason of each form, as docs/data.md says."""
    rows = re.findall(r"^\| `(\w+)` \| .*? \| (read|library|refused)(?:: (.*?))? \|$", (ROOT / "docs/data.md").read_text(), re.M)
    return {name: (answer, reason) for name, answer, reason in rows}


ROWS = table()
OLD_LIBRARY_ONLY = {"many_chunks", "newer_layout"}  # HDF5 1.14 lists more chunks, HDF5 2.0 reads the layout


def library_version() -> tuple:
    done = subprocess.run([BINARY, "env", "--json"], capture_output=True, text=True)
    found = re.search(r'"hdf5[^"]*"\s*:\s*"(\d+)\.(\d+)', done.stdout, re.I)
    return tuple(map(int, found.groups())) if found else (1, 10)


class Forms(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = pathlib.Path(tempfile.mkdtemp(prefix="trainmark-forms-"))
        cls.losses = {}

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.scratch, ignore_errors=True)

    @staticmethod
    def call(*arguments, env=None, code=0) -> str:
        done = subprocess.run([BINARY, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}, timeout=240)
        assert done.returncode == code, (done.returncode, done.stdout)
        return done.stdout

    def config(self, folder, **more) -> pathlib.Path:
        path = folder / "config.json"
        path.write_text(json.dumps({
            "name": "forms", "seed": 7, "data": {"train": str(folder), "validation": str(folder)},
            "model": {"extent": forms.EXTENT, "width": 0.0625},
            "schedule": {"base_rate": 0.01, "peak_rate": 0.01, "warmup_epochs": 0, "decay": []},
            "train": {"global_batch": 2, "until": "epochs", "epochs": 1}, "submission": {"generated_data": True},
            "results": {"folder": str(self.scratch / "results")}, **more}))
        return path

    def folder_of(self, name) -> pathlib.Path:
        folder = self.scratch / name
        return folder if folder.exists() else forms.write(name, folder)

    def loss(self, name) -> str:
        """What a run prints of an epoch: it depends on the place of every value."""
        if name not in self.losses:
            found = re.search(r"loss \S+ +eval_error \S+", self.call("run", self.config(self.folder_of(name))))
            self.losses[name] = found.group(0)
        return self.losses[name]

    def read(self, name, reason):
        folder = self.folder_of(name)
        seen = json.loads(self.call("data", "inspect", folder / "one.hdf5", "--json"))
        x = forms.X.astype(float)
        inputs, targets = seen["values"]
        self.assertEqual((seen["samples"], inputs["minimum"], inputs["maximum"]), (forms.SAMPLES, x.min(), x.max()))
        self.assertAlmostEqual(inputs["mean"], x.mean(), places=12)
        self.assertAlmostEqual(inputs["deviation"], x.std(), places=9)
        y = numpy.zeros_like(forms.Y) if name == "never_written" else forms.Y
        self.assertEqual(targets["channel_minimum"], y.min(axis=0).astype(float).tolist())
        self.assertEqual(targets["channel_maximum"], y.max(axis=0).astype(float).tolist())
        reasons = {each["name"]: each["by_library"] for each in seen["datasets"]}
        self.assertTrue(any(each.startswith(reason) for each in reasons.values()) if reason else not any(reasons.values()), reasons)
        if name != "never_written":
            self.assertEqual(self.loss(name), self.loss("contiguous"))

    def refused(self, name, reason):
        folder = forms.write(name, self.scratch / name)
        for command in (("run", self.config(folder)), ("data", "inspect", folder / "one.hdf5", "--extent", forms.EXTENT)):
            said = self.call(*command, code=3)
            self.assertEqual(said.count("trainmark: error"), 1, said)
            self.assertIn("one.hdf5", said)
            self.assertIn(reason, said)

    def test_the_table_and_the_forms_that_are_written_are_the_same(self):
        self.assertEqual(set(ROWS), set(forms.FORMS))
        self.assertGreater(len(ROWS), 70)

    def staged(self, name, **stage) -> pathlib.Path:
        folder = forms.write(name, self.scratch / f"staged_{name}")
        target = self.scratch / f"target_{name}"
        self.staging = {"strategy": "replicate", "target": str(target), **stage}
        return folder

    def test_a_dataset_with_companions_is_not_staged_in_part(self):
        for name in ("external_link", "virtual", "raw_files"):
            folder = self.staged(name)
            said = self.call("run", self.config(folder, stage=self.staging), code=3)
            self.assertEqual(said.count("trainmark: error"), 1, said)
            for word in ("one.hdf5", "its samples are also in another file", "inputs.raw" if name == "raw_files" else "store/",
                         "stage.strategy none"):
                self.assertIn(word, said)
            self.assertFalse(pathlib.Path(self.staging["target"]).exists())
            self.assertIn("also in another file", self.call("validate", self.config(folder, stage=self.staging), "--ranks", "1", code=3))

    def test_a_virtual_dataset_of_its_own_file_is_staged(self):
        folder = self.staged("virtual_here")
        self.assertIn(self.loss("contiguous"), self.call("run", self.config(folder, stage=self.staging)))

    def test_a_manifest_does_not_vouch_for_what_it_does_not_hash(self):
        folder = forms.write("external_link", self.scratch / "vouched")
        self.assertIn("a manifest vouches for each file alone", self.call("data", "verify", folder, "--write", code=3))
        self.assertFalse((folder / "trainmark.manifest").exists())
        shutil.rmtree(folder / "store")
        self.assertIn("which is not there", self.call("data", "verify", folder, code=3))

    def test_inspect_lists_companions_and_passes_over_datasets_that_nobody_reads(self):
        folder = forms.write("virtual", self.scratch / "listed")
        with h5py.File(folder / "one.hdf5", "a") as file:
            file["deep"] = numpy.zeros((1,) * 20)
            file["dead"] = h5py.ExternalLink("gone.h5", "/x")
            file["nothing"] = h5py.Empty("f4")
            file["words"] = numpy.array(["a", "b"], dtype=h5py.string_dtype())
        seen = json.loads(self.call("data", "inspect", folder / "one.hdf5", "--json"))
        self.assertEqual([pathlib.Path(each).name for each in seen["companions"]], ["a.part", "b.part"])
        datasets = {each["name"]: each for each in seen["datasets"]}
        self.assertEqual(datasets["deep"]["shape"], [1] * 20)
        self.assertIn("'/x' in 'gone.h5', which is not there", datasets["dead"]["unusable"])
        self.assertIn("null dataspace", datasets["nothing"]["type"])
        self.assertIn("words", datasets)
        self.assertIn("dead       cannot be read", self.call("data", "inspect", folder / "one.hdf5"))

    def test_a_run_with_few_descriptors_reads_more_files_than_it_may_open(self):
        folder = self.scratch / "many"
        folder.mkdir()
        for number in range(200):
            forms.plain(folder / f"{number:03}.hdf5", x=forms.X[number % 4], y=forms.Y[number % 4])
        limited = subprocess.run(["bash", "-c", 'ulimit -n 64; exec "$0" "$@"', BINARY, "data", "inspect", folder, "--json", "--samples",
                                  "200"], capture_output=True, text=True)
        self.assertEqual(limited.returncode, 0, limited.stderr)
        self.assertEqual(json.loads(limited.stdout)["samples_read"], 200)

    def test_a_name_that_is_too_long_and_links_in_a_circle_are_called_so(self):
        os.symlink("circle.hdf5", self.scratch / "circle.hdf5")
        said = self.call("data", "inspect", self.scratch / ("n" * 300 + ".hdf5"), code=3)
        self.assertIn("File name too long", said)
        self.assertIn("links lead in a circle", self.call("data", "inspect", self.scratch / "circle.hdf5", code=3))


def add_row(name, answer, reason):
    def test(self):
        if name in OLD_LIBRARY_ONLY and library_version() >= (1, 14):
            self.skipTest("of older HDF5 only")
        self.refused(name, reason) if answer == "refused" else self.read(name, reason)
    setattr(Forms, f"test_form_{name}", test)


for row, (its_answer, its_reason) in ROWS.items():
    add_row(row, its_answer, its_reason)

if __name__ == "__main__":
    unittest.main()
