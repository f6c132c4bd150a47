#!/usr/bin/env python3
"""Standard streams that are gone, full or closed: the same for every command, asked of the program's own list of them."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import h5py

import records
from program import BINARY, ROOT, call, command_tree

SMOKE = str(ROOT / "configs/cosmoflow/smoke.json")
GOOD = str(ROOT / "tests/golden/logs/hpc_cosmoflow_open_v3.0.txt")


class Streams(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="trainmark-streams-"))
        cls.env = {**os.environ, "TRAINMARK_DATA": str(cls.folder / "data"), "OMP_NUM_THREADS": "1"}
        done = call("data", "generate", cls.folder / "data", "--train-samples", 16, "--validation-samples", 16, "--samples-per-file", 8)
        assert done.returncode == 0, done.stderr
        damaged = cls.folder / "damaged"
        shutil.copytree(cls.folder / "data/validation", damaged)
        assert call("data", "verify", damaged, "--write").returncode == 0
        next(damaged.glob("*.hdf5")).unlink()
        maps = cls.folder / "maps"
        made = call("data", "generate", maps, "--workload", "deepcam", "--height", 32, "--width", 48, "--train-samples", 4,
                    "--validation-samples", 1)
        assert made.returncode == 0, made.stderr
        pictures = cls.folder / "pictures"
        drawn = call("data", "generate", pictures, "--workload", "resnet50", "--classes", 2, "--size", 32, "--train-samples", 2,
                     "--validation-samples", 2)
        assert drawn.returncode == 0, drawn.stderr
        for split, below in (("train", "train"), ("validation", "val")):  # as a tree of class folders
            with h5py.File(next((pictures / split).glob("*.hdf5"))) as file:
                jpeg, offsets = file["jpeg"][:].tobytes(), file["offsets"][:]
                for begin, end, label in zip(offsets, offsets[1:], file["labels"][:]):
                    image = cls.folder / "tree" / below / f"class{label}" / f"{begin}.jpg"
                    image.parent.mkdir(parents=True, exist_ok=True)
                    image.write_bytes(jpeg[begin:end])
        for split in ("train", "validation"):
            counts, parameters = records.sample(1)
            records.write(cls.folder / "records" / split / "a.tfrecord", records.cosmoflow(counts, parameters))
            (cls.folder / "universes" / split).mkdir(parents=True)
            records.write_universe(cls.folder / "universes" / split / "a.hdf5", counts, parameters)
        (cls.folder / "bad.json").write_text('{"seed": -1, "nmae": 1}')
        (cls.folder / "empty.log").write_text("")
        spec = cls.folder / "spec.json"
        spec.write_text(f'{{"base": "{SMOKE}", "axes": {{"train.precision": ["fp32", "bf16"]}}}}')
        data, run = str(cls.folder / "data/train"), ["run", SMOKE, "--set", "train.steps=1", "--set", f"results.folder={cls.folder}/results"]
        probe = ["probe", SMOKE, "--seconds", "8"]  # with one or two a busy machine measures nothing
        stage = ["stage", SMOKE, "--set", "stage.strategy=replicate", "--set", f"stage.target={cls.folder}/staged"]
        # Each command that writes to stdout, with the code that its work deserves.
        cls.cases = [
            (["--help"], 0), (["--version"], 0), *(([*path.split(), "--help"], 0) for path in command_tree() if path),
            (run, 0), ([*run, "--json"], 0), (probe, 0), ([*probe, "--json"], 0), (stage, 0), ([*stage, "--json"], 0), (["sbatch", SMOKE, "--nodes", "2"], 0),
            (["ablate", SMOKE, "--rounds", "2", "--steps", "1"], 0), (["ablate", SMOKE, "--rounds", "2", "--steps", "1", "--json"], 0),
            (["screen", SMOKE, "--rounds", "1", "--steps", "1"], 0), (["screen", SMOKE, "--rounds", "1", "--steps", "1", "--json"], 0),
            (["validate", SMOKE], 0), (["validate", SMOKE, "--print"], 0), (["sweep", str(spec)], 0),
            (["validate", str(cls.folder / "bad.json"), "--json"], 2), (["plan", SMOKE], 0), (["plan", SMOKE, "--json"], 0),
            (["data", "generate", str(cls.folder / "data"), "--train-samples", "16", "--validation-samples", "16",
              "--samples-per-file", "8"], 0),
            (["data", "stats", str(maps / "train"), "--output", str(cls.folder / "stats.h5"), "--json"], 0),
            (["data", "import", "imagenet", str(cls.folder / "tree"), str(cls.folder / "imported")], 0),
            (["data", "import", "cosmoflow-tfrecord", str(cls.folder / "records"), str(cls.folder / "from_records"), "--extent", "32"], 0),
            (["data", "import", "cosmoflow-universe", str(cls.folder / "universes"), str(cls.folder / "from_universes"), "--extent", "32"], 0),
            (["data", "inspect", data], 0), (["data", "inspect", data, "--json"], 0), (["data", "verify", data], 0),
            (["data", "verify", str(damaged)], 3), (["data", "verify", str(damaged), "--json"], 3), (["check", GOOD], 0),
            (["check", GOOD, "--json"], 0), (["check", str(cls.folder / "empty.log")], 7), (["check", str(cls.folder / "empty.log"), "--json"], 7),
            (["package", GOOD, "--print-system"], 0), (["report", GOOD], 0), (["report", GOOD, "--json"], 0), (["schema"], 0), (["schema", "--markdown"], 0),
            (["env"], 0), (["env", "--json"], 0), (["completion", "bash"], 0), (["completion", "zsh"], 0),
        ]

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def call(self, arguments, **streams) -> subprocess.CompletedProcess:
        return subprocess.run([BINARY, *arguments], env=self.env, timeout=120, text=True, **{"stderr": subprocess.PIPE, **streams})

    def shell(self, arguments, redirection) -> int:
        return subprocess.run(["bash", "-c", '"$@" ' + redirection, "bash", BINARY, *arguments], env=self.env, timeout=120,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode

    def works(self) -> list:
        """The cases without helps, which differ in words only."""
        return [case for case in self.cases if "--help" not in case[0]]

    def test_every_command_is_tried(self):
        tried = {" ".join(word for word in arguments[:3] if re.fullmatch("[a-z][a-z-]*", word) and word not in ("bash", "zsh"))
                 for arguments, _ in self.works()}
        groups = {path.rsplit(" ", 1)[0] for path in command_tree() if " " in path}
        self.assertEqual(set(command_tree()) - groups, tried)

    def test_codes_are_those_of_the_work(self):
        for arguments, code in self.cases:
            with self.subTest(arguments):
                done = self.call(arguments, stdout=subprocess.PIPE)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertNotEqual(done.stdout, "")

    def test_what_libraries_print_stays_out_of_every_document(self):
        verbose = {**self.env, "ONEDNN_VERBOSE": "2", "DNNL_VERBOSE": "2", "OMP_DISPLAY_ENV": "VERBOSE"}
        for arguments, code in self.cases:
            if "--json" not in arguments:
                continue
            with self.subTest(arguments):
                done = subprocess.run([BINARY, *arguments], env=verbose, timeout=120, text=True, capture_output=True)
                self.assertEqual(done.returncode, code, done.stderr)
                json.loads(done.stdout)
                if arguments[0] == "run":
                    self.assertRegex(done.stderr, "(onednn|dnnl)_verbose")

    def test_a_reader_that_left_changes_no_code_and_is_no_error(self):
        for arguments, code in self.cases:
            with self.subTest(arguments):
                reader, writer = os.pipe()
                os.close(reader)  # gone before the first byte: the order does not hang on who is faster
                try:
                    done = self.call(arguments, stdout=writer)
                finally:
                    os.close(writer)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertNotIn("standard output", done.stderr)
                self.assertNotIn("Broken pipe", done.stderr)

    def test_readers_of_both_streams_that_left_change_no_code(self):
        for arguments, code in self.works():
            with self.subTest(arguments):
                reader, writer = os.pipe()
                os.close(reader)
                try:
                    self.assertEqual(self.call(arguments, stdout=writer, stderr=writer).returncode, code)
                finally:
                    os.close(writer)

    def test_output_that_is_lost_is_said_and_no_success(self):
        for arguments, code in self.cases:
            with self.subTest(arguments), open("/dev/full", "w") as full:
                done = self.call(arguments, stdout=full)
                self.assertEqual(done.returncode, code or 4, done.stderr)
                self.assertEqual(done.stderr.count("trainmark: error: standard output: cannot be written: No space left on device"), 1,
                                 done.stderr)

    def test_a_limit_on_file_sizes_is_such_a_loss(self):
        target = self.folder / "schema.json"
        done = subprocess.run(["bash", "-c", f'ulimit -f 1; "$@" > "{target}"', "bash", BINARY, "schema"], stderr=subprocess.PIPE, text=True,
                              env=self.env, timeout=60)
        self.assertEqual((done.returncode, "File too large" in done.stderr), (4, True), done.stderr)

    def test_closed_streams_mean_that_nobody_wants_to_hear(self):
        for arguments, code in self.works():
            for redirection in (">&-", "<&- >&- 2>&-"):
                with self.subTest(arguments=arguments, redirection=redirection):
                    self.assertEqual(self.shell(arguments, redirection), code)

    def test_messages_that_cannot_be_written_change_no_code(self):
        for arguments in (["validate", str(self.folder / "bad.json")], ["rum"], ["run", "--nope"], ["run", "/none/such.json"]):
            for redirection in ("2>/dev/full", "2>&-", ">/dev/full 2>/dev/full"):
                with self.subTest(arguments=arguments, redirection=redirection):
                    self.assertEqual(self.shell(arguments, redirection), 2)
        self.assertEqual(self.shell(["data", "inspect", "/none/such"], "2>/dev/full"), 3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
