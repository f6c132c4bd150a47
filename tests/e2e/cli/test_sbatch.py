#!/usr/bin/env python3
"""Batch scripts as trainmark prints them: what stands in them for whom, and what is refused before a job has waited for hours. That
they work is shown by tests/slurm; that scripts/slurm holds what is printed, here."""
import pathlib
import shlex
import shutil
import subprocess
import tempfile
import unittest

from program import BINARY, ROOT, call

TINY = "configs/cosmoflow/tiny.json"


class Scripts(unittest.TestCase):
    def script(self, *options, config=TINY) -> str:
        done = call("sbatch", config, "--program", "trainmark", *options, cwd=ROOT)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stderr)
        checked = subprocess.run(["bash", "-n"], input=done.stdout, text=True, capture_output=True)
        self.assertEqual((checked.returncode, checked.stderr), (0, ""))
        return done.stdout

    def directives(self, *options, mark="#SBATCH ", **how) -> list:
        return [line.removeprefix(mark) for line in self.script(*options, **how).splitlines() if line.startswith(mark)]

    def refused(self, *options, config=TINY) -> str:
        done = call("sbatch", config, *options, cwd=ROOT)
        self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
        self.assertEqual(done.stderr.count("trainmark: error: "), 1, done.stderr)
        return done.stderr

    def test_the_templates_are_what_is_printed(self):
        templates = sorted((ROOT / "scripts/slurm").glob("*.sh"))
        self.assertEqual([path.name for path in templates], ["array.sh", "many_nodes.sh", "one_node.sh"])
        for path in templates:
            with self.subTest(path.name):
                asked = shlex.split(path.read_text().splitlines()[1].removeprefix("# "))
                self.assertEqual(asked[:2], ["trainmark", "sbatch"])
                self.assertEqual(call(*asked[1:], cwd=ROOT, env={"TRAINMARK_DATA": "/data"}).stdout, path.read_text())

    def test_a_job_of_slurm_asks_for_what_the_run_needs(self):
        self.assertEqual(self.directives("--nodes", 2), [
            "--job-name=tiny", "--nodes=2", "--ntasks-per-node=1", "--exclusive", "--mem=0", "--time=01:00:00", "--signal=USR1@60",
            "--requeue", "--open-mode=append", "--output=%x-%j.out"])
        self.assertEqual(self.directives(
            "--nodes", 2, "--gpus-per-node", "a100:4", "--cpus-per-task", 16, "--shared", "--partition", "gpu", "--account", "abc",
            "--time", "2-00:00:00", "--array", "0-4", "--signal-seconds", 0), [
            "--job-name=tiny", "--nodes=2", "--ntasks-per-node=4", "--cpus-per-task=16", "--gpus-per-node=a100:4", "--partition=gpu",
            "--account=abc", "--time=2-00:00:00", "--array=0-4", "--requeue", "--open-mode=append", "--output=%x-%A_%a.out"])

    def test_each_launcher_has_its_own_form(self):
        forms = {"srun": "exec srun --mpi=pmix --kill-on-bad-exit=1 --wait=60 \\\n",
                 "mpirun": "exec mpirun -n 4 --map-by ppr:2:node --bind-to none \\\n",
                 "mpiexec": "exec mpiexec -n 4 -ppn 2 -bind-to none \\\n",
                 "pals": "exec mpiexec -n 4 --ppn 2 --depth 8 --cpu-bind depth \\\n",
                 "flux": "exec flux run -N 2 -n 4 --cores-per-task=8 \\\n"}
        for launcher, form in forms.items():
            with self.subTest(launcher):
                text = self.script("--nodes", 2, "--ranks-per-node", 2, "--cpus-per-task", 8, "--launcher", launcher)
                self.assertIn(form + f"  trainmark run {TINY}\n", text)
                self.assertEqual(text.count("SRUN_CPUS_PER_TASK=8"), int(launcher == "srun"))
        self.assertEqual(self.directives("--nodes", 2, "--launcher", "mpirun")[6], "--signal=B:USR1@60")
        self.assertEqual(self.directives("--nodes", 2, "--ranks-per-node", 2, "--cpus-per-task", 8, "--gpus-per-node", 2, "--array", "0-4",
                                         "--launcher", "pals", mark="#PBS "),
                         ["-N tiny", "-l select=2:ncpus=16:mpiprocs=2:ngpus=2", "-l place=scatter:excl", "-l walltime=01:00:00", "-J 0-4",
                          "-r y", "-j oe"])
        self.assertEqual(self.directives("--nodes", 2, "--launcher", "flux", mark="#flux: "),
                         ["--job-name=tiny", "--nodes=2", "--exclusive", "--time-limit=60m", "--output=tiny-{{id}}.out"])

    def test_paths_and_overrides_reach_the_program_as_they_were_given(self):
        with tempfile.TemporaryDirectory() as folder:
            config = pathlib.Path(folder) / "it's a $config.json"
            shutil.copy(ROOT / TINY, config)
            done = call("sbatch", config, "--nodes", 1, "--set", "data.train=/a b", "--set", "train.until=steps", "--program", "/opt/train mark")
            [start] = [line for line in done.stdout.splitlines() if line.startswith("  ")]
            self.assertEqual(shlex.split(start), ["/opt/train mark", "run", str(config), "--set", "data.train=/a b", "--set", "train.until=steps"])
        self.assertIn(f"  {BINARY} run", call("sbatch", TINY, "--nodes", 1, cwd=ROOT).stdout)

    def test_each_task_of_an_array_has_a_seed_of_its_own(self):
        text = self.script("--nodes", 1, "--array", "0-4", "--set", "seed=40")
        started = subprocess.run(["bash", "-c", text.replace("exec srun", "printf '%s\\n'")], text=True, capture_output=True,
                                 env={"SLURM_ARRAY_TASK_ID": "3", "SLURM_CPUS_ON_NODE": "8", "SLURM_JOB_END_TIME": "1", "PATH": "/bin"})
        self.assertEqual(started.stdout.splitlines()[-2:], ["--set", "seed=43"], started.stderr)

    def test_tasks_of_a_config_without_a_seed_draw_theirs(self):
        self.assertNotIn('--set "seed=', self.script("--nodes", 1, "--array", "0-4", "--set", "seed=0"))

    def test_cpus_of_a_node_are_counted_when_the_job_starts(self):
        text = self.script("--nodes", 1, "--ranks-per-node", 4).replace("exec srun", 'echo "$SRUN_CPUS_PER_TASK"')
        for cpus, each in (("64", "16"), ("6", "1"), ("4", "1"), ("2", "1")):
            started = subprocess.run(["bash", "-c", text], text=True, capture_output=True,
                                     env={"SLURM_CPUS_ON_NODE": cpus, "SLURM_JOB_END_TIME": "1", "PATH": "/bin"})
            self.assertEqual(started.stdout.split()[0], each, started.stderr)

    def test_what_cannot_work_is_refused(self):
        self.assertIn("/train/global_batch", self.refused("--nodes", 3))
        self.assertIn("say how many GPUs", self.refused("--nodes", 1, "--set", "backend.device=cuda"))
        self.assertIn("idle", self.refused("--nodes", 1, "--gpus-per-node", 2, "--set", "backend.device=cpu"))
        self.assertIn('"many" is no number of GPUs', self.refused("--nodes", 1, "--gpus-per-node", "many"))
        self.assertIn("4 ranks share 2 GPUs", self.refused("--nodes", 1, "--gpus-per-node", 2, "--ranks-per-node", 4))
        self.assertIn("--cpus-per-task 16", self.refused("--nodes", 1, "--shared"))
        self.assertIn("--cpus-per-task 16", self.refused("--nodes", 1, "--launcher", "pals"))
        self.assertIn("Flux has no arrays", self.refused("--nodes", 1, "--launcher", "flux", "--array", "0-4"))
        self.assertIn("no word", self.refused("--nodes", 1, "--partition", "a b\n#SBATCH --nodes=9"))
        self.assertIn("--nodes", self.refused())
        self.assertIn("--nodes", self.refused("--nodes", 0))
        self.assertIn("/model/norm_group: 4 does not divide the 2 ranks", self.refused(
            "--nodes", 2, "--set", "model.norm_group=4", config="configs/deepcam/tiny.json"))

    def test_more_ranks_than_mpi_numbers_are_refused_and_not_counted_modulo_2_to_32(self):
        for nodes in (2**20, 2**19):  # of 4,096 ranks: 0 and the least int, where they wrap around
            self.assertIn(f"--nodes: {nodes} of 4096 ranks are more ranks than MPI numbers",
                          self.refused("--nodes", nodes, "--ranks-per-node", 4096))

    def test_cpus_of_a_shared_job_follow_the_config(self):
        self.assertIn("--cpus-per-task=7", self.directives("--nodes", 1, "--shared", "--set", "backend.threads=5", "--set", "load.threads=2"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
