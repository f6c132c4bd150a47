#!/usr/bin/env python3
"""Ways in which Slurm, or a node, ends a run before its time. However it ends, the log is closed, run.json says with which code, no
partial file stays on a node, and the same job's next life goes on from what was staged."""
import itertools
import os
import signal
import subprocess

from slurm_case import SlurmCase, main

ENDLESS = {"train": {"until": "seconds", "seconds": 600}}
SIGNALS = {"TERM": 143, "USR1": 138}
STEP = "exec srun --mpi=pmix --kill-on-bad-exit=1 "


class Endings(SlurmCase):
    def start(self, script: str, *options, nodes: int = 2) -> str:
        return self.submit(script, f"--nodes={nodes}", "--ntasks-per-node=2", *options)

    def test_a_signal_while_staging_closes_all_and_leaves_no_partial_file(self):
        events = {"before": "staging_start", "overlap": "epoch_start"}
        for (mode, event), (name, code) in itertools.product(events.items(), SIGNALS.items()):
            with self.subTest(mode=mode, signal=name), self.closed_gate() as gated:
                self.results = self.folder / f"{mode}-{name}"
                stage = {**self.replicate, "mode": mode, "target": f"{self.target}/{mode}-{name}"}
                job = self.start(f"{STEP} {gated} {self.trainmark_run(stage=stage, results={'folder': str(self.results)})}")
                self.wait_for_event(event)
                self.end(job, name)
                self.finished(job)
                self.assert_closed(self.only_run(), code)
                self.assertIn(f"ended by signal {code - 128} ", self.output())

    def test_a_signal_while_training_closes_all(self):
        for name, code in SIGNALS.items():
            with self.subTest(signal=name):
                self.results = self.folder / name
                job = self.start(STEP + self.trainmark_run(**ENDLESS, results={"folder": str(self.results)}))
                self.wait_for_event("epoch_start")
                self.end(job, name)
                self.finished(job)
                self.assert_closed(self.only_run(), code)

    @staticmethod
    def end(job: str, signal: str):
        """TERM as scancel does it, with KILL to follow; others as --signal= sends them."""
        subprocess.run(["scancel", *([] if signal == "TERM" else [f"--signal={signal}"]), job], check=True)

    def test_a_rank_that_is_killed_takes_the_others_along_in_order(self):
        job = self.start(STEP + self.trainmark_run(**ENDLESS))
        self.wait_for_event("epoch_start")
        [victim] = self.processes_of(task=3)
        os.kill(victim, signal.SIGKILL)
        self.finished(job)
        self.assert_closed(self.only_run(), 143)

    def test_a_node_that_vanishes_ends_the_run_on_those_that_stay(self):
        job = self.start(STEP + self.trainmark_run(**ENDLESS), "--no-requeue")
        self.wait_for_event("epoch_start")
        self.cluster.kill_node("n1")
        self.addCleanup(self.cluster.start_node, "n1")
        facts = self.finished(job)
        self.assertIn(facts["JobState"], ("NODE_FAIL", "FAILED"), self.output())
        run = self.only_run()
        self.assertNotIn(run.json()["exit_code"], (None, 0), self.output())
        self.assert_closed(run, run.json()["exit_code"])

    def test_a_requeued_job_stages_only_what_is_not_there_yet(self):
        source = self.hashes(self.data)
        with self.closed_gate() as gated:
            job = self.start(f"{STEP} {gated} {self.trainmark_run(stage=self.replicate, train={'until': 'steps', 'steps': 2})}", "--requeue")
            self.wait_for(lambda: all(self.on_nodes()), "a staged file on each node")
            subprocess.run(["scontrol", "requeue", job], check=True)
            self.wait_for(lambda: self.facts(job)["JobState"] in ("PENDING", "REQUEUED"), "the requeued job")
            landed = [len(files) for files in self.on_nodes()]
        self.assertEqual(self.finished(job)["ExitCode"], "0:0", self.output())
        self.assertEqual(sorted(self.runs()), [job, f"{job}-r1"])
        self.assert_closed(self.runs()[job], 143)
        second = self.runs()[f"{job}-r1"]
        self.assertEqual(second.json()["exit_code"], 0)
        splits = second.json("staging.json")["splits"].values()
        reused = [sum(split["nodes"][node]["files_reused"] for split in splits) for node in (0, 1)]
        copied = [sum(split["nodes"][node]["files_copied"] for split in splits) for node in (0, 1)]
        self.assertEqual(reused, landed)
        self.assertEqual([sum(pair) for pair in zip(reused, copied)], [len(source)] * 2)
        self.assertEqual(self.on_nodes(), [source] * 2)


if __name__ == "__main__":
    main()
