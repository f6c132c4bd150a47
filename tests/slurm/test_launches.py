#!/usr/bin/env python3
"""Ways to start a run on a real Slurm of two nodes, and what staging then leaves on the disk of each."""
import re
import shutil
import subprocess

from slurm_case import BINARY, SlurmCase, main

WITHOUT_PMIX = ("-N", "2", "--ntasks-per-node", "2", "--mpi=none")
STEPS = {"train": {"until": "steps", "steps": 4}}


class Launches(SlurmCase):
    def test_each_strategy_leaves_on_each_node_the_bytes_that_it_promises(self):
        source = self.hashes(self.data)
        # Of the validation split 16 samples are wanted: two files.
        wanted = {key: value for key, value in source.items() if key[0] == "train" or key[1] < "packed_000002"}
        epoch = {"train": {"until": "epochs", "epochs": 1}, "data": {"validation_samples": 16}, **self.still}
        cases = {"none": {}, "replicate by copy": {"strategy": "replicate", "transport": "copy"},
                 "replicate by exchange": {"strategy": "replicate", "transport": "exchange"}, "shard": {"strategy": "shard"},
                 "group of both": {"strategy": "group", "group": 2},
                 "replicate beside training": {"strategy": "replicate", "mode": "overlap"},
                 "shard beside training": {"strategy": "shard", "mode": "overlap"}}
        losses = {}
        for name, stage in cases.items():
            with self.subTest(name):
                results, target = self.folder / name, self.target / name
                run = self.run_on_nodes(**epoch, stage={**stage, "target": str(target)} if stage else {}, results={"folder": str(results)})
                run.results = results
                losses[name] = float(run.table("epochs.csv")[0]["train_loss"])
                n0, n1 = (self.hashes(self.cluster.disk(node) / "set" / name) for node in self.cluster.nodes)
                if name == "none":
                    self.assertEqual((n0, n1), ({}, {}))
                elif "beside" in name:  # what has come by the end of an epoch; the same run again fetches the rest
                    nodes = [node for split in run.json("staging.json")["splits"].values() for node in split["nodes"]]
                    self.assertEqual(sum(node["files_copied"] for node in nodes), len(n0) + len(n1))
                    for found in (n0, n1):
                        self.assertLessEqual(found.items(), wanted.items())
                    whole = self.run_on_nodes(**epoch, stage={**stage, "mode": "before", "target": str(target)}, results={"folder": str(results)})
                    n0, n1 = (self.hashes(self.cluster.disk(node) / "set" / name) for node in self.cluster.nodes)
                    self.assertEqual(whole.code, 0)
                    self.assertEqual({**n0, **n1}, wanted)
                    self.assertEqual(len(n0) + len(n1), len(wanted) * (1 if name.startswith("shard") else 2))
                elif name == "shard":
                    self.assertEqual({**n0, **n1}, wanted)
                    self.assertEqual((len(n0), len(n1)), (len(wanted) / 2, len(wanted) / 2), "each file is on one node")
                else:
                    self.assertEqual((n0, n1), (wanted, wanted))
                self.assertEqual([row["host"] for row in run.table("ranks.csv")], ["n0", "n0", "n1", "n1"])
                for node in self.cluster.nodes:  # the disks are small
                    shutil.rmtree(self.cluster.disk(node) / "set" / name, ignore_errors=True)
        for name, loss in losses.items():
            self.assertAlmostEqual(loss / losses["none"], 1.0, delta=1e-6, msg=f"{name}: each sample once an epoch")

    def test_each_task_of_an_array_is_a_run_with_results_of_its_own(self):
        config = self.write_config(**STEPS)
        job = self.submit(f'exec srun --mpi=pmix "{BINARY}" run "{config}" --set seed=$((7 + SLURM_ARRAY_TASK_ID))',
                          "--array=0-4", "--ntasks=1")
        self.finished(job)
        runs = self.runs()
        self.assertEqual(sorted(runs), [f"{job}_{task}" for task in range(5)], self.output())
        for task in range(5):
            told = runs[f"{job}_{task}"].json()
            self.assertEqual((told["exit_code"], told["figures"]["seed"], told["figures"]["ranks"]), (0, 7 + task, 1))

    def test_mpirun_in_a_batch_script_finds_all_ranks_on_both_nodes(self):
        config = self.write_config(**STEPS)
        job = self.submit(f'exec mpirun -n 4 "{BINARY}" run "{config}"', "-N", "2", "--ntasks-per-node=2")
        self.assertEqual(self.finished(job)["ExitCode"], "0:0", self.output())
        run = self.runs()[job]
        self.assertEqual([row["host"] for row in run.table("ranks.csv")], ["n0", "n0", "n1", "n1"])
        self.assertEqual(run.json()["figures"]["nodes"], 2)

    def test_processes_that_mpi_leaves_alone_refuse_once_and_leave_nothing(self):
        # Without SLURM_STEP_ID Open MPI 4 takes itself for one process, as Open MPI 5 and MPICH do under --mpi=none anyway.
        done = self.srun("env", "-u", "SLURM_STEP_ID", BINARY, "run", self.write_config(**STEPS), options=WITHOUT_PMIX)
        self.assertEqual(done.code, 4, done.output)
        # srun tells of tasks that end together in one line: "n0: tasks 0-1", or "n0: task 0".
        ended = re.findall(r"(n\d): tasks? (\d)(?:-(\d))?: Exited with exit code 4", done.output)
        self.assertEqual(sorted((node, task) for node, first, last in ended for task in range(int(first), int(last or first) + 1)),
                         [("n0", 0), ("n0", 1), ("n1", 2), ("n1", 3)], done.output)
        for words in ("srun started 4 processes", "found 1 in this one's world", "srun --mpi=pmix", "--alone"):
            self.assertEqual(done.output.count(words), 1, done.output)
        self.assertFalse(self.results.exists())

    def test_where_mpi_itself_refuses_nothing_is_left_either(self):
        done = self.srun(BINARY, "run", self.write_config(**STEPS), options=WITHOUT_PMIX)
        self.assertNotEqual(done.code, 0, done.output)
        self.assertFalse(self.results.exists())

    def test_processes_may_be_alone_on_purpose_to_screen_nodes(self):
        done = self.srun(BINARY, "run", self.write_config(**STEPS), "--alone", "--quiet", options=("-N", "2", "-n", "2", "--mpi=none"))
        self.assertEqual(done.code, 0, done.output)
        runs = self.runs().values()
        self.assertEqual(sorted(run.table("ranks.csv")[0]["host"] for run in runs), ["n0", "n1"])
        self.assertEqual([run.json()["figures"]["ranks"] for run in runs], [1, 1])

    def test_a_node_whose_disk_is_full_is_named_before_the_first_byte(self):
        taken = self.srun("fallocate", "-l", "50M", self.cluster.local / "somebody-elses", options=("-N", "1", "-n", "1", "-w", "n1"))
        self.assertEqual(taken.code, 0, taken.output)
        run = self.run_on_nodes(expect=3, stage=self.replicate)
        self.assertRegex(run.output, r"node n1: .* free, staging needs 2\d\.\d MiB")
        self.assertEqual(run.output.count("trainmark: error"), 1, run.output)
        self.assertEqual(self.on_nodes(), [{}, {}])
        self.assertEqual(self.only_run().json()["exit_code"], 3)

    def test_a_disk_that_fills_while_staging_ends_all_and_keeps_no_partial_file(self):
        for mode, event in (("before", "staging_start"), ("overlap", "epoch_start")):
            with self.subTest(mode):
                self.results = self.folder / mode
                run = self.trainmark_run(stage={**self.replicate, "target": str(self.target / mode), "mode": mode},
                                         train={"until": "seconds", "seconds": 600}, results={"folder": str(self.results)})
                full = self.cluster.disk("n1") / "somebody-elses"
                with self.closed_gate() as gated:
                    job = self.submit(f"exec srun --mpi=pmix {gated} {run}", "-N", "2", "--ntasks-per-node=2")
                    self.wait_for_event(event)
                    subprocess.run(["fallocate", "-l", "50M", str(full)], check=True)
                self.assertEqual(self.finished(job)["ExitCode"], "3:0", self.output())
                self.assertRegex(self.output(), r"No space left on device|free, staging needs")
                self.assert_closed(self.only_run(), 3)
                full.unlink()


if __name__ == "__main__":
    main()
