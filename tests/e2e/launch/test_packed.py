#!/usr/bin/env python3
"""Small files staged into containers (stage.form "packed"): training from them changes no bit, what is there is found again, what
is damaged or was not finished is copied again, and what does not go with it is refused."""
import os
import pathlib
import signal
import subprocess
import time
import unittest

from harness import BINARY, ROOT, EndToEnd, Run


class Packed(EndToEnd):
    def setUp(self):
        super().setUp()
        self.target = self.folder / "local"

    def stage(self, form: str = "packed", strategy: str = "replicate", **more) -> dict:
        return {"strategy": strategy, "form": form, "target": str(self.target), **more}

    def small(self, name: str, **changes) -> Run:
        run = self.run_small(ranks=2, results={"folder": str(self.folder / name)}, **changes)
        run.results = self.folder / name
        return run

    @staticmethod
    def hashes(run: Run) -> list:
        return [row["parameter_hash"] for row in run.table("epochs.csv")]

    @staticmethod
    def node(run: Run, split: str = "train") -> dict:
        return run.json("staging.json")["splits"][split]["nodes"][0]

    def containers(self, split: str = "train") -> list:
        return sorted(path for path in (self.target / split).glob("trainmark.container.*") if path.suffix != ".index")

    def damage(self, name: str, split: str = "train"):
        """Turns bits in the middle of a file's content, as the container's index says where that is."""
        for index in (self.target / split).glob("*.index"):
            for line in index.read_text().splitlines()[2:]:
                _, offset, _, size, *_, listed = line.split("\t")
                if listed == name:
                    with index.with_suffix("").open("r+b") as file:
                        file.seek(int(offset) + int(size) // 2)
                        byte = file.read(1)[0]
                        file.seek(-1, os.SEEK_CUR)
                        file.write(bytes([byte ^ 0xFF]))
                    return
        self.fail(f"no index lists {name}")

    def test_training_from_containers_changes_no_bit(self):
        compressed = self.folder / "compressed"
        done = self.trainmark("data", "generate", str(compressed), "--train-samples", "64", "--validation-samples", "20",
                              "--samples-per-file", "4", "--gzip", "4")
        self.assertEqual(done.code, 0, done.output)
        for source in (self.data, compressed):
            for strategy in ("replicate", "shard"):
                with self.subTest(source=source.name, strategy=strategy):
                    runs = []
                    for form in ("files", "packed"):
                        self.target = self.folder / f"{source.name}-{strategy}-{form}"
                        runs.append(self.small(f"results-{source.name}-{strategy}-{form}", stage=self.stage(form, strategy),
                                               data={"train": str(source / "train"), "validation": str(source / "validation")}))
                    files, packed = runs
                    self.assertEqual(len(self.hashes(files)), 2)
                    self.assertEqual(self.hashes(files), self.hashes(packed))
                    self.assertEqual([row["eval_metric"] for row in files.table("epochs.csv")],
                                     [row["eval_metric"] for row in packed.table("epochs.csv")])
                    staging = packed.json("staging.json")
                    self.assertEqual((files.json("staging.json")["form"], staging["form"]), ("files", "packed"))
                    self.assertEqual(packed.json()["texts"]["stage_form"], "packed")
                    self.assertEqual(self.node(packed)["files_packed"], self.node(packed)["files_copied"])
                    self.assertEqual(self.node(files)["files_packed"], 0)
                    self.assertEqual(list(self.target.rglob("*.hdf5")), [])
                    self.assertEqual(len(self.containers()), 2, "one a rank")

    def test_training_from_containers_of_images_changes_no_bit(self):
        pictures = self.folder / "pictures"
        done = self.trainmark("data", "generate", str(pictures), "--workload", "resnet50", "--samples-per-file", "50", ranks=2)
        self.assertEqual(done.code, 0, done.output)
        hashes = []
        for form in ("files", "packed"):
            settings = ("train.until=epochs", "train.epochs=2", f"results.folder={self.folder / form}", f"stage.form={form}",
                        "stage.strategy=replicate", f"stage.target={self.folder / form / 'local'}")
            run = self.trainmark("run", str(ROOT / "configs/resnet50/tiny.json"), *[word for each in settings for word in ("--set", each)],
                                 ranks=2, timeout=600, env={"TRAINMARK_DATA": str(pictures), "TRAINMARK_LOCAL": str(self.folder / "unused")})
            self.assertIn(run.code, (0, 6), run.output)
            run.results = self.folder / form
            hashes.append(self.hashes(run))
        self.assertTrue(hashes[0])
        self.assertEqual(hashes[0], hashes[1])

    def test_what_is_there_is_found_again_and_what_is_damaged_is_mended(self):
        first = self.small("first", stage=self.stage())
        self.assertEqual((self.node(first)["files_copied"], self.node(first)["files_reused"]), (8, 0))
        again = self.small("again", stage=self.stage())
        self.assertEqual((self.node(again)["files_copied"], self.node(again)["files_reused"]), (0, 8))
        self.assertEqual(self.hashes(again), self.hashes(first))
        self.damage(sorted(path.name for path in (self.data / "train").glob("*.hdf5"))[5])
        config = str(self.write_config(stage=self.stage()))
        looked = self.trainmark("stage", config, "--verify", ranks=2)
        self.assertEqual(looked.code, 3, looked.output)
        self.assertIn("7 files there and right, 1 missing or not right", looked.output)
        mended = self.small("mended", stage=self.stage())
        self.assertEqual((self.node(mended)["files_copied"], self.node(mended)["files_reused"]), (1, 7))
        self.assertEqual(self.hashes(mended), self.hashes(first))
        self.assertEqual(self.trainmark("stage", config, "--verify").code, 0, "another number of ranks finds the same")

    def test_cleaning_leaves_nothing_of_it(self):
        config = str(self.write_config(stage=self.stage()))
        self.assertEqual(self.trainmark("stage", config, ranks=2).code, 0)
        done = self.trainmark("stage", config, "--clean")
        self.assertEqual(done.code, 0, done.output)
        self.assertIn("removed 11 files", done.output)
        self.assertEqual([path for path in self.target.rglob("*") if path.is_file() and not path.name.startswith(".trainmark.")], [])

    def killed_while_it_writes(self, where: str, config: str, text: str = ""):
        """A staging that hangs at its first write (of such a text) to such a file, and is killed there."""
        process = subprocess.Popen([BINARY, "stage", config], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
                                   env={**os.environ, "OMP_NUM_THREADS": "1", "LD_PRELOAD": os.environ["TRAINMARK_FAILING_CALLS"],
                                        "HANG_WRITE_IN": where, **({"HANG_WRITE_WITH": text} if text else {})})
        self.addCleanup(self.kill_session, process)
        deadline, held = time.time() + 60, 0
        while held < 10:  # for a second
            self.assertLess(time.time(), deadline)
            self.assertIsNone(process.poll(), "it ended before it could be killed")
            held = held + 1 if any(where in name for name in self.open_files(process.pid)) else 0
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()

    @staticmethod
    def open_files(pid: int) -> list:
        names = []
        for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            try:
                names.append(os.readlink(link))
            except OSError:  # closed by now
                continue
        return names

    def test_a_killed_staging_goes_on_from_its_last_commit(self):
        direct = self.small("direct", stage={"strategy": "none"})
        config = str(self.write_config(stage=self.stage()))
        # Training's files are listed when those of the validation begin; the second kill comes before what waits is listed.
        self.killed_while_it_writes("validation/trainmark.container.0", config)
        run = self.small("first", stage=self.stage())
        self.assertEqual((self.node(run)["files_copied"], self.node(run)["files_reused"]), (0, 8))
        self.assertEqual(self.node(run, "validation")["files_copied"], 3)
        self.assertEqual(self.hashes(run), self.hashes(direct))
        self.target = self.folder / "another"
        config = str(self.write_config(stage=self.stage()))
        self.killed_while_it_writes("train/trainmark.container.0.index", config, text=".hdf5")
        run = self.small("second", stage=self.stage())
        self.assertEqual((self.node(run)["files_copied"], self.node(run)["files_reused"]), (8, 0))
        self.assertEqual(self.hashes(run), self.hashes(direct))
        self.assertEqual(len(self.containers()), 2, "what the killed run left is gone")

    def test_a_damaged_index_costs_copies_and_never_a_wrong_sample(self):
        first = self.small("first", stage=self.stage(verify=False))
        index = sorted((self.target / "train").glob("*.index"))[0]
        lines = index.read_text().splitlines(keepends=True)
        for name, text in (("cut", "".join(lines[:3]) + lines[3][:30]),
                           ("mixed", "".join(lines[:2]) + lines[2].replace("\t4096\t", "\t8192\t") + "".join(lines[3:]))):
            with self.subTest(name):
                index.write_text(text)
                run = self.small(name, stage=self.stage(verify=False))
                self.assertGreater(self.node(run)["files_copied"], 0)
                self.assertEqual(self.node(run)["files_copied"] + self.node(run)["files_reused"], 8)
                self.assertEqual(self.hashes(run), self.hashes(first))
                index = sorted((self.target / "train").glob("*.index"))[0]
                lines = index.read_text().splitlines(keepends=True)

    def test_what_does_not_go_with_it_is_refused(self):
        beside = self.run_small(expect=2, stage=self.stage(mode="overlap"))
        self.assertIn('/stage/form: "packed" does not go with /stage/mode "overlap"', beside.output)
        self.small("staged", stage=self.stage())
        source = {"train": str(self.target / "train"), "validation": str(self.target / "validation")}
        refused = self.run_small(expect=3, data=source)
        for words in (f"{self.target}/train", 'was staged to with /stage/form "packed"', "name the folder that was staged from"):
            self.assertIn(words, refused.output)


if __name__ == "__main__":
    unittest.main(verbosity=2)
