#!/usr/bin/env python3
"""Sweeps: what is written for a spec, that each config runs and its results are read back by what differs, and what is refused."""
import csv
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile
import unittest

from program import BINARY, ROOT, call, without_comments

BASE = ROOT / "configs/cosmoflow/smoke.json"


class Sweep(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="trainmark-sweep-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def spec(self, **changes) -> pathlib.Path:
        spec = {"base": str(BASE), "axes": {"train.precision": ["fp32", "bf16"]}, **changes}
        path = self.folder / "spec.json"
        path.write_text(json.dumps({key: value for key, value in spec.items() if value is not None}))
        return path

    def sweep(self, spec: pathlib.Path, *options, expect: int = 0, env=None):
        done = call("sweep", spec, "--into", self.folder / "sweep", "--program", "trainmark", *options, env=env)
        self.assertEqual(done.returncode, expect, done.stderr)
        return done

    def runs(self) -> list:
        with (self.folder / "sweep/runs.csv").open() as file:
            return list(csv.DictReader(file))

    def refused(self, *options, **changes) -> str:
        done = self.sweep(self.spec(**changes), *options, expect=2)
        self.assertEqual((done.stdout, done.stderr.count("trainmark: error: ")), ("", 1), done.stderr)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["spec.json"], "nothing is left behind")
        return done.stderr

    def test_every_combination_has_a_config_and_every_node_count_a_job(self):
        done = self.sweep(self.spec(nodes=[1, 2], repeats=2, axes={"train.precision": ["fp32", "bf16"], "/train/global_batch": [4, 8],
                                                                   "stage": [{"strategy": "none"}, {"strategy": "shard", "target": "/local/x"}]}))
        runs = self.runs()
        self.assertEqual(len(runs), 2 * 2 * 8)
        self.assertEqual(len({run["results"] for run in runs}), len(runs), "each has results of its own")
        lines = done.stdout.splitlines()
        self.assertTrue(lines[0].startswith("# "))
        self.assertEqual(lines[1:], [f"sbatch {self.folder}/sweep/nodes-{nodes}.sh" for nodes in (1, 2)])
        for nodes in (1, 2):
            script = (self.folder / f"sweep/nodes-{nodes}.sh").read_text()
            self.assertEqual(subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True).stderr, "")
            self.assertIn("#SBATCH --array=0-15\n", script)
            self.assertIn(f"#SBATCH --nodes={nodes}\n", script)
            started = subprocess.run(["bash", "-c", script.replace("exec srun", "printf '%s\\n'")], text=True, capture_output=True,
                                     env={"SLURM_ARRAY_TASK_ID": "3", "SLURM_CPUS_ON_NODE": "8", "SLURM_JOB_END_TIME": "1", "PATH": "/bin"})
            self.assertEqual(started.stdout.splitlines()[-3:], ["trainmark", "run", f"{self.folder}/sweep/nodes-{nodes}/3.json"], started.stderr)
        for run in runs:
            config = json.loads(pathlib.Path(run["config"]).read_text())
            self.assertEqual((config["train"]["precision"], config["train"]["global_batch"], config["results"]["folder"]),
                             (run["train.precision"], int(run["/train/global_batch"]), run["results"]))
            self.assertEqual(config["stage"], json.loads(run["stage"]))
            self.assertEqual(config["model"], json.loads(without_comments(BASE.read_text()))["model"])
            self.assertEqual(call("validate", run["config"], "--ranks", run["ranks"], "--nodes", run["nodes"], cwd=ROOT).returncode, 0)
        self.assertEqual(json.loads((self.folder / "sweep/spec.json").read_text())["nodes"], [1, 2])

    def test_without_a_folder_runs_are_only_listed(self):
        done = call("sweep", self.spec(repeats=2))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines(), ["job,task,nodes,ranks,repeat,train.precision", "nodes-1.sh,0,1,1,0,fp32",
                                                    "nodes-1.sh,1,1,1,1,fp32", "nodes-1.sh,2,1,1,0,bf16", "nodes-1.sh,3,1,1,1,bf16"])
        self.assertEqual([path.name for path in self.folder.iterdir()], ["spec.json"])

    def test_repeats_have_seeds_of_their_own_unless_they_are_drawn(self):
        for seed in (7, 0):
            base = self.folder / "base.json"
            base.write_text(json.dumps({**json.loads(without_comments(BASE.read_text())), "seed": seed}))
            self.sweep(self.spec(base=str(base), axes=None, repeats=3))
            seeds = [json.loads(pathlib.Path(run["config"]).read_text()).get("seed", 0) for run in self.runs()]
            self.assertEqual(seeds, [7, 8, 9] if seed else [0, 0, 0])
            shutil.rmtree(self.folder / "sweep")

    def test_a_job_of_one_run_is_no_array(self):
        done = self.sweep(self.spec(axes=None, nodes=[2]), "--launcher", "pals", "--cpus-per-task", 4)
        self.assertIn(f"qsub {self.folder}/sweep/nodes-2.sh", done.stdout)
        script = (self.folder / "sweep/nodes-2.sh").read_text()
        self.assertNotIn("#PBS -J", script)
        self.assertIn(f"trainmark run {self.folder}/sweep/nodes-2/0.json", script)

    def test_variables_of_the_nodes_stay_variables(self):
        base = self.folder / "base.json"
        config = json.loads(without_comments(BASE.read_text()))
        config["data"]["train"] = "${SWEEP_DATA:-here}/train"
        base.write_text(json.dumps(config))
        self.sweep(self.spec(base=str(base)), env={"SWEEP_DATA": "/on/the/login/node"})
        self.assertEqual(json.loads((self.folder / "sweep/nodes-1/0.json").read_text())["data"]["train"], "${SWEEP_DATA:-here}/train")

    def test_results_are_read_back_as_one_table_named_by_what_differs(self):
        data = self.folder / "data"
        self.assertEqual(call("data", "generate", data, "--train-samples", 16, "--validation-samples", 8, "--samples-per-file", 8).returncode, 0)
        env = {**os.environ, "TRAINMARK_DATA": str(data), "OMP_NUM_THREADS": "1"}
        base = self.folder / "base.json"
        config = json.loads(without_comments(BASE.read_text()))
        config.setdefault("train", {}).update({"until": "epochs", "epochs": 1, "global_batch": 8})
        config["train"].pop("steps", None)
        base.write_text(json.dumps(config))
        self.sweep(self.spec(base=str(base), axes={"train.precision": ["fp32", "bf16"], "train.global_batch": [4, 8]}), env=env)
        for run in self.runs():
            done = call("run", run["config"], "--quiet", env=env, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)
        page = self.folder / "page.html"
        done = call("report", self.folder / "sweep/results", "--json", "--html", page)
        self.assertEqual(done.returncode, 0, done.stderr)
        document = json.loads(done.stdout)
        self.assertEqual(len(document["runs"]), 4)
        names = {row["configuration"] for table in document["tables"] for row in table["rows"] if "configuration" in row}
        self.assertGreaterEqual(names, {f"batch {batch}, {precision}" for batch in (4, 8) for precision in ("fp32", "bf16")})
        self.assertIn("batch 4, bf16", page.read_text())

    def test_what_is_wrong_with_a_spec_is_said_once_with_its_place(self):
        for changes, words in ((dict(bsae="x"), ["/bsae", "did you mean /base?"]),
                               (dict(base=None), ["/base: is missing"]),
                               (dict(base="nowhere.json"), ["nowhere.json"]),
                               (dict(nodes=[1, 0]), ["/nodes/1: must be a whole number from 1"]),
                               (dict(nodes=[2, 2]), ["/nodes: has 2 twice"]),
                               (dict(nodes=2), ["/nodes: must be a list"]),
                               (dict(repeats="many"), ["/repeats: must be a whole number"]),
                               (dict(axes=[1]), ["/axes: must be an object"]),
                               (dict(axes={"train.precision": []}), ["/axes/train.precision: must be a list"]),
                               (dict(axes={"train..precision": ["fp32"]}), ["/axes/train..precision: is no key"]),
                               (dict(axes={"nodes": [1, 2]}), ["/axes/nodes", "/nodes"]),
                               (dict(axes={"train.precision": ["fp32"], "/train/precision": ["bf16"]}), ["/axes/~1train~1precision", "another axis"]),
                               (dict(axes={"train.global_batch": [8, 16], "train": [{"global_batch": 4}]}), ["/axes/train", "overlaps /train/global_batch"]),
                               (dict(axes={"train": [{"global_batch": 4}], "/train/precision": ["bf16"]}), ["/axes/~1train~1precision", "overlaps /train,"]),
                               (dict(axes={"train.global_batch": [8, 8.0]}), ["/axes/train.global_batch: has 8.0 twice"]),
                               (dict(axes={"results.folder": ["x", "y"]}), ["/axes/results.folder", "the sweep gives each run"]),
                               (dict(axes={"seed": [1, 2]}, repeats=2), ["/repeats", "/axes/seed"]),
                               (dict(axes={"train.precison": ["fp32"]}), ["spec.json: /axes/train.precison/0", "did you mean /train/precision?"]),
                               (dict(axes={"train.precision": ["fp32", "fp31"]}), ["spec.json: /axes/train.precision/1", "/train/precision", "fp32"]),
                               (dict(nodes=[3]), ["nodes 3, train.precision \"fp32\"", "/train/global_batch", "--skip-unfit"]),
                               (dict(axes={f"train.{key}": list(range(1, 12)) for key in ("global_batch", "epochs", "steps", "seconds", "bucket_mib")}),
                                ["more than 10000 runs"])):
            with self.subTest(changes):
                message = self.refused(**changes)
                for word in words:
                    self.assertIn(word, message)
        (self.folder / "spec.json").write_text("{base: 1}")
        self.assertIn("is not JSON", self.sweep(self.folder / "spec.json", expect=2).stderr)
        self.assertIn("Flux has no arrays", self.refused("--launcher", "flux"))

    def test_a_key_that_stands_twice_is_not_ignored_once(self):
        path = self.folder / "spec.json"
        for text, key in (('{"base": "%s", "nodes": [1], "nodes": [2]}', "nodes"),
                          ('{"base": "%s", "axes": {"train.steps": [1, 2], "train.steps": [3, 4]}}', "train.steps"),
                          ('{"base": "%s", "axes": {"stage": [{"strategy": "none", "strategy": "shard"}]}}', "strategy")):
            with self.subTest(key):
                path.write_text(text % BASE)
                done = self.sweep(path, expect=2)
                self.assertIn(f'the key "{key}" stands twice', done.stderr)
        path.write_text('{"base": "%s", "axes": {"stage": [{"strategy": "none"}, {"strategy": "none", "group": 2}]}}' % BASE)
        self.sweep(path)

    def test_combinations_that_do_not_fit_are_left_out_by_name_where_that_is_asked_for(self):
        done = self.sweep(self.spec(nodes=[1, 2], axes={"train.global_batch": [1, 8]}), "--skip-unfit")
        self.assertIn("left out: nodes 2, train.global_batch 1", done.stderr)
        self.assertEqual([(run["nodes"], run["train.global_batch"]) for run in self.runs()], [("1", "1"), ("1", "8"), ("2", "8")])

    def test_a_folder_that_is_there_is_not_touched(self):
        (self.folder / "sweep").mkdir()
        done = self.sweep(self.spec(), expect=2)
        self.assertIn("exists", done.stderr)
        self.assertEqual(list((self.folder / "sweep").iterdir()), [])
        self.assertEqual(shlex.split(done.stdout), [])

    def test_what_a_killed_process_of_the_same_number_left_does_not_mix_in(self):
        leave = 'for name in ".trainmark-sweep-$$" ".trainmark-sweep-$$-0"; do mkdir "$name" && touch "$name/stale"; done; exec "$@"'
        done = subprocess.run(["bash", "-c", leave, "bash", BINARY, "sweep", str(self.spec()), "--into", "sweep", "--program", "trainmark"],
                              cwd=self.folder, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual({path.name for path in (self.folder / "sweep").iterdir()}, {"nodes-1", "nodes-1.sh", "runs.csv", "spec.json"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
