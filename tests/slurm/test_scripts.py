#!/usr/bin/env python3
"""What `trainmark sbatch` prints, submitted as it stands to a Slurm of two nodes."""
import subprocess

from slurm_case import BINARY, SlurmCase, main

STEPS = {"train": {"until": "steps", "steps": 4}}
ENDLESS = {"train": {"until": "seconds", "seconds": 600}}


class Scripts(SlurmCase):
    def print_and_submit(self, *options, **changes) -> str:
        printed = subprocess.run([BINARY, "sbatch", str(self.write_config(**changes)), *options], capture_output=True, text=True)
        self.assertEqual((printed.returncode, printed.stderr), (0, ""))
        return self.submit(printed.stdout)

    def test_ranks_of_all_nodes_meet_and_have_their_share_of_the_cpus(self):
        for launcher in ("srun", "mpirun"):
            with self.subTest(launcher):
                job = self.print_and_submit("--nodes", "2", "--ranks-per-node", "2", "--launcher", launcher, **STEPS)
                self.assertEqual(self.finished(job)["ExitCode"], "0:0", self.output())
                run = self.runs()[job]
                self.assertEqual([row["host"] for row in run.table("ranks.csv")], ["n0", "n0", "n1", "n1"])
                variables = run.json("env.json")["variables"]
                self.assertEqual(variables["SLURM_CPUS_ON_NODE"], "4")
                if launcher == "srun":
                    self.assertEqual(variables["SLURM_CPUS_PER_TASK"], "2")
                launch = run.json()["launch"]
                self.assertEqual((launch["system"], launch["id"], launch["nodes"], launch["restarts"]), ("Slurm", job, "n[0-1]", 0))
                self.assertIn(launcher, launch["launcher"])
                facts = self.facts(job)  # it has ended since, so the end that was told is its start and the limit
                self.assertEqual(self.seconds(launch["ends_at"].removesuffix("Z")) - self.seconds(facts["StartTime"]), 3600)
                self.assertRegex(self.output(), r" left, job ends in 59 min \d\d s\n")

    @staticmethod
    def seconds(time: str) -> int:
        """Of "2026-05-17T08:31:02", by the clock of this machine, which the tests set to UTC."""
        return int(subprocess.run(["date", "-u", "-d", time, "+%s"], capture_output=True, text=True, check=True).stdout)

    def test_an_array_trains_each_task_from_its_own_seed(self):
        job = self.print_and_submit("--nodes", "1", "--shared", "--cpus-per-task", "1", "--array", "0-4", **STEPS)
        self.finished(job)
        told = {name: run.json() for name, run in self.runs().items()}
        self.assertEqual(sorted(told), [f"{job}_{task}" for task in range(5)], self.output())
        for task in range(5):
            run = told[f"{job}_{task}"]
            self.assertEqual((run["exit_code"], run["figures"]["seed"]), (0, 11 + task))
            self.assertEqual((run["launch"]["array"], run["launch"]["task"]), (job, task))

    def test_the_warning_before_the_time_limit_closes_a_run_whoever_started_it(self):
        jobs = [self.print_and_submit("--nodes", "1", "--shared", "--cpus-per-task", "1", "--time", "1", "--signal-seconds", "50",
                                      "--launcher", launcher, **ENDLESS) for launcher in ("srun", "mpirun")]
        for job in jobs:
            self.finished(job)
            self.assert_closed(self.runs()[job], 138)
            self.assertRegex(self.output(), r"job ends in \d+\.\d s, too soon\n")

    def test_the_script_is_what_sbatch_reads_from_a_pipe_too(self):
        piped = f'"{BINARY}" sbatch "{self.write_config(**STEPS)}" --nodes 1 | sbatch --parsable -o "{self.folder}/job.out"'
        done = subprocess.run(["bash", "-o", "pipefail", "-c", piped], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.finished(done.stdout.strip())["ExitCode"], "0:0", self.output())


if __name__ == "__main__":
    main()
