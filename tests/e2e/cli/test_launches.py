#!/usr/bin/env python3
"""Commands of several ranks: one message for what all agree upon, one code, and no hang for what only one rank meets."""
import json
import os
import pathlib
import pty
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from program import BINARY, MPIRUN, OPEN_MPI, ROOT, call

SMOKE = str(ROOT / "configs/cosmoflow/smoke.json")
TWO = [*MPIRUN, "-n", "2"]
STEP = {"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_STEP_ID": "0"}


class Launches(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="trainmark-launch-"))
        cls.env = {"TRAINMARK_DATA": str(cls.folder / "data")}
        done = call("data", "generate", cls.folder / "data", "--train-samples", 32, "--validation-samples", 16, "--samples-per-file", 8,
                    launcher=TWO)
        assert done.returncode == 0, done.stderr
        cls.generated = done.stdout

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def smoke(self, *options, launcher=(), env=None, **how):
        return call("run", SMOKE, "--set", "train.steps=2", "--set", f"results.folder={self.folder}/results", *options,
                    launcher=launcher, env={**self.env, **(env or {})}, **how)

    def test_generated_data_are_named_as_such(self):
        self.assertIn("6 files written", self.generated)
        self.assertIn("no MLPerf results", self.generated)
        again = call("data", "generate", self.folder / "data", "--train-samples", 32, "--validation-samples", 16, "--samples-per-file", 8)
        self.assertIn("0 files written, 6 kept", again.stdout)

    def test_generation_tells_what_it_did_as_json_too(self):
        done = call("data", "generate", self.folder / "json", "--train-samples", 2, "--validation-samples", 1, "--samples-per-file", 1, "--json",
                    launcher=TWO)
        report = json.loads(done.stdout)
        self.assertEqual((report["files_written"], report["files_kept"]), (3, 0))
        self.assertGreater(report["bytes"], 3 * 32**3 * 8)
        self.assertIn("not an MLPerf result", report["label"])

    def test_inspect_shows_what_was_generated(self):
        done = call("data", "inspect", self.folder / "data/train", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        seen = json.loads(done.stdout)
        self.assertEqual((seen["layout"], seen["files"], seen["samples"]), ("packed", 4, 32))
        self.assertEqual(seen["sample"][0]["shape"], [32, 32, 32, 4])
        counts, targets = seen["values"]
        self.assertAlmostEqual(counts["mean"], 1.0, delta=0.01)
        self.assertEqual(sum(counts["histogram_log2"]), 32 * 4 * 32**3)
        self.assertEqual(len(targets["channel_maximum"]), 4)
        text = call("data", "inspect", self.folder / "data/train/packed_000000.hdf5").stdout
        for words in ("layout packed", "contiguous", "read amplification 1.00x", "seed = ", "###", "y[..., 3]:"):
            self.assertIn(words, text)
        self.assertEqual(call("data", "inspect", self.folder / "data/train", "--extent", 64).returncode, 3)

    def test_verify_finds_a_damaged_byte(self):
        target = self.folder / "verified"
        shutil.copytree(self.folder / "data/validation", target)
        self.assertEqual(call("data", "verify", target, "--write").returncode, 0)
        self.assertIn("all is well", call("data", "verify", target).stdout)
        victim = sorted(target.glob("*.hdf5"))[0]
        with victim.open("r+b") as file:
            file.seek(victim.stat().st_size // 2)
            byte = file.read(1)
            file.seek(-1, 1)
            file.write(bytes([byte[0] ^ 1]))
        done = call("data", "verify", target, "--json")
        self.assertEqual(done.returncode, 3, done.stdout)
        report = json.loads(done.stdout)
        self.assertEqual(len(report["differences"]), 1)
        self.assertIn(victim.name, report["differences"][0])

    def test_an_interrupted_generation_leaves_no_partial_file_and_goes_on_later(self):
        for attempt in range(10):  # until one was interrupted before it had ended by itself
            target = self.folder / f"interrupted-{attempt}"
            command = ["data", "generate", str(target), "--train-samples", "512", "--validation-samples", "16", "--samples-per-file", "16"]
            process = subprocess.Popen([BINARY, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            process.stderr.readline()  # the first line of progress: it is at work
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=120)
            if process.returncode != 0:
                break
        self.assertEqual(process.returncode, 128 + signal.SIGTERM)
        names = [path.name for path in target.rglob("*") if path.is_file()]
        self.assertEqual([name for name in names if name.startswith(".")], [])
        self.assertLess(len(names), 33)
        self.assertEqual(call(*command, "--quiet").returncode, 0)
        self.assertEqual(call("data", "verify", target / "train").returncode, 0)

    def test_the_last_lines_say_what_matters(self):
        done = self.smoke(launcher=TWO)
        self.assertEqual(done.returncode, 0, done.stderr)
        for words in ("results          ", "time to train    none (fixed work)", "staging          none", "epochs           1 (2 steps)",
                      "samples/s", "verdict", "generated data: not an MLPerf result"):
            self.assertEqual(done.stdout.count(words), 1, done.stdout)

    def test_json_is_all_that_stdout_holds(self):
        done = self.smoke("--json", launcher=TWO)
        outcome = json.loads(done.stdout)
        self.assertEqual(outcome["exit_code"], 0)
        self.assertEqual(outcome["steps"], 2)
        self.assertNotIn("time_to_train_s", outcome)
        self.assertTrue((pathlib.Path(outcome["results"]) / "run.json").is_file())
        self.assertIn("not an MLPerf result", outcome["label"])

    def test_staging_tells_what_was_there_already(self):
        options = ["--set", "stage.strategy=replicate", "--set", f"stage.target={self.folder}/local"]
        first, second = self.smoke(*options), self.smoke(*options)
        self.assertIn("staged 12.0 MiB to ", first.stderr)
        self.assertNotIn("already", first.stderr)
        self.assertRegex(second.stderr, r"staged 0\.0 MiB to .*; 12\.0 MiB were there already\)")

    def test_a_run_that_fails_tells_it_as_json_too(self):
        for launcher in ((), TWO):
            with self.subTest(launcher):
                done = self.smoke("--json", "--set", "data.train=/nonexistent", launcher=launcher)
                self.assertEqual(done.returncode, 3, done.stderr)
                told = json.loads(done.stdout)
                self.assertEqual((told["exit_code"], told["code"], told["where"]), (3, 3, "/nonexistent"))
                self.assertIn("does not exist", told["what"])
                self.assertIn(told["error"], done.stderr)
        done = call("run", "none.json", "--json", "--nope")
        self.assertEqual((done.returncode, json.loads(done.stdout)["what"]), (2, "not expected: --nope"))

    def test_quiet_leaves_the_last_lines_only(self):
        done = self.smoke("--quiet")
        self.assertEqual(done.stderr, "")
        self.assertIn("verdict", done.stdout)

    def test_a_job_of_a_batch_system_names_the_results(self):
        done = self.smoke("--json", env={"SLURM_JOB_ID": "4711"})
        self.assertTrue(json.loads(done.stdout)["results"].endswith("/4711"), done.stdout)

    def test_tasks_of_an_array_and_restarts_have_names_of_their_own(self):
        env = {"SLURM_JOB_ID": "4712", "SLURM_ARRAY_JOB_ID": "4711", "SLURM_ARRAY_TASK_ID": "3"}
        self.assertTrue(json.loads(self.smoke("--json", env=env).stdout)["results"].endswith("/4711_3"))
        first = self.smoke("--json", env={**env, "SLURM_ARRAY_TASK_ID": "0"})
        self.assertTrue(json.loads(first.stdout)["results"].endswith("/4711_0"), first.stdout)
        for count, name in (("0", "4711_3-2"), ("1", "4711_3-r1")):  # of the name that is taken a second folder
            restarted = self.smoke("--json", env={**env, "SLURM_RESTART_COUNT": count})
            self.assertTrue(json.loads(restarted.stdout)["results"].endswith("/" + name), restarted.stdout)

    def test_tasks_of_lsf_s_arrays_have_names_of_their_own(self):
        for index, name in (("4", "815_4"), ("0", "815")):  # 0: no array
            done = self.smoke("--json", env={"LSB_JOBID": "815", "LSB_JOBINDEX": index})
            self.assertTrue(json.loads(done.stdout)["results"].endswith("/" + name), done.stdout)

    def launch_record(self, env) -> dict:
        folder = json.loads(self.smoke("--json", env=env).stdout)["results"]
        return json.loads((pathlib.Path(folder) / "run.json").read_text())["launch"]

    def test_the_record_tells_job_array_restarts_nodes_and_end(self):
        slurm = {"SLURM_JOB_ID": "92", "SLURM_ARRAY_JOB_ID": "90", "SLURM_ARRAY_TASK_ID": "2", "SLURM_RESTART_COUNT": "3",
                 "SLURM_JOB_NODELIST": "n[0-1]", "SLURM_JOB_END_TIME": "1779006662", "SLURM_PROCID": "0"}
        self.assertEqual(self.launch_record(slurm), {
            "launcher": "srun", "system": "Slurm", "id": "92", "array": "90", "task": 2, "restarts": 3, "nodes": "n[0-1]",
            "ends_at": "2026-05-17T08:31:02Z"})
        pbs = {"PBS_JOBID": "12[3].server", "PALS_RANKID": "0"}
        self.assertEqual(self.launch_record(pbs), {"launcher": "Cray's PALS", "system": "PBS", "id": "12[3].server", "restarts": 0})

    def test_each_launcher_s_variables_are_known(self):
        rows = {"Open MPI's mpirun": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
                "MVAPICH's mpirun": ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK"),
                "MPICH's mpirun or srun --mpi=pmi2": ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
                "Cray's PALS": ("PALS_RANKID", "PALS_SIZE", "PALS_LOCAL_RANKID"),
                "jsrun": ("JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_LOCAL_RANK"),
                "Flux": ("FLUX_TASK_RANK", "FLUX_JOB_SIZE", "FLUX_TASK_LOCAL_ID"),
                "srun": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")}
        for name, variables in rows.items():
            with self.subTest(name):
                told = json.loads(call("env", "--json", env=dict(zip(variables, ("5", "8", "1")))).stdout)
                self.assertEqual(told["launch"], {"launcher": name, "rank": 5, "of": 8, "rank_on_node": 1})
        self.assertNotIn("launch", json.loads(call("env", "--json").stdout))

    def test_progress_tells_when_the_job_ends_and_whether_that_is_too_soon(self):
        now = int(time.time())
        self.assertRegex(self.smoke(env={"SLURM_JOB_ID": "1", "SLURM_JOB_END_TIME": f"{now + 7300}"}).stderr, r" left, job ends in 2 h 0\d min\n")
        self.assertIn(", job ends in 0.0 s, too soon\n", self.smoke(env={"SLURM_JOB_ID": "1", "SLURM_JOB_END_TIME": f"{now - 9}"}).stderr)
        self.assertNotIn("job ends", self.smoke(env={"SLURM_JOB_ID": "1"}).stderr)

    def test_fewer_cpus_than_were_asked_for_are_warned_of_with_the_launcher_s_cure(self):
        one = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
        told = "1 rank may run on 1 CPUs, though 4 a rank were asked for; "
        done = self.smoke(launcher=one, env={"SLURM_PROCID": "0", "SLURM_CPUS_PER_TASK": "4"})
        self.assertIn(told + "srun: give --cpus-per-task to srun too", done.stderr)
        done = self.smoke(launcher=one, env={"PALS_RANKID": "0", "PALS_DEPTH": "4"})
        self.assertIn(told + "mpiexec of PALS: --depth N --cpu-bind depth", done.stderr)
        self.assertNotIn("asked for", self.smoke(launcher=one, env={"SLURM_PROCID": "0", "SLURM_CPUS_PER_TASK": "1"}).stderr)

    def test_processes_that_mpi_does_not_bring_together_refuse_with_the_cure(self):
        alone = [{"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"}, {"PMI_SIZE": "4", "PMI_RANK": "0"}, {"FLUX_JOB_SIZE": "2", "FLUX_TASK_RANK": "0"},
                 {"PALS_RANKID": "0", "PALS_LOCAL_SIZE": "4"}, {"MV2_COMM_WORLD_SIZE": "2"}, {"JSM_NAMESPACE_SIZE": "3"}, {"MPI_LOCALNRANKS": "2"},
                 {**STEP, "SLURM_TASK_PID": str(os.getpid())}]  # a script's child: its parent is the task
        if OPEN_MPI:  # for MPICH this is its own launcher, of one process, within a step
            alone.append({"PMI_SIZE": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"})
        for env in alone:
            with self.subTest(env):
                done = self.smoke(env=env)
                self.assertEqual((done.returncode, done.stdout), (4, ""), done.stderr)
                for words in ("found 1 in this one's world", "srun --mpi=pmix", "srun --mpi=list", "--alone"):
                    self.assertEqual(done.stderr.count(words), 1, done.stderr)
                self.assertIn("mpirun", done.stderr)
        self.assertIn("srun started 2 processes (SLURM_STEP_NUM_TASKS=2)", self.smoke(env=alone[0]).stderr)

    def test_every_command_of_several_ranks_asks_whether_mpi_found_them(self):
        env = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"}
        done = call("data", "generate", self.folder / "never", "--train-samples", 2, "--validation-samples", 1, env=env)
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertFalse((self.folder / "never").exists())

    def test_of_processes_that_are_alone_one_speaks(self):
        done = self.smoke(env={**STEP, "SLURM_PROCID": "1", "SLURM_TASK_PID": str(os.getpid())})
        self.assertEqual((done.returncode, done.stderr), (4, ""))

    def test_a_mismatch_is_not_silent_where_the_rank_may_be_left_over(self):
        for env in ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}, {"PMI_SIZE": "4", "PMI_RANK": "3"}):
            with self.subTest(env):
                done = self.smoke(env=env)
                self.assertEqual(done.returncode, 4)
                self.assertEqual(done.stderr.count("found 1 in this one's world"), 1, done.stderr)

    def test_a_process_that_is_no_task_of_the_step_works_alone_and_says_so(self):
        cases = {"interactive or the batch one": {"SLURM_STEP_ID": "4294967290"}, "SLURM_PROCID=8 is none": {"SLURM_PROCID": "8"},
                 "SLURM_LOCALID=3 contradicts": {"SLURM_LOCALID": "3"}}
        if os.readlink("/proc/self/ns/pid") == "pid:[4026531836]":
            gone = subprocess.Popen(["true"])
            gone.wait()
            cases["does not descend from SLURM_TASK_PID"] = {"SLURM_TASK_PID": str(gone.pid)}
        for words, env in cases.items():
            with self.subTest(words):
                done = self.smoke("--quiet", env={**STEP, **env})
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
                self.assertIn(words, done.stderr)
                self.assertIn("SLURM_STEP_NUM_TASKS=8 says that srun started 8 processes", done.stderr)

    def test_a_shell_of_a_step_with_several_tasks_is_no_launch_of_them(self):
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        self.addCleanup(os.close, theirs)
        pmi = {"PMI_SIZE": "8", "PMI_RANK": "0"}  # as srun --mpi=pmi2 sets them
        done = self.smoke("--quiet", env={**STEP, **pmi, "SLURM_TASK_PID": str(os.getpid())}, stdin=theirs)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("it was started from a shell (stdin is a terminal)", done.stderr)

    def test_processes_may_be_alone_on_purpose(self):
        done = self.smoke("--alone", "--quiet", env={"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"})
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("epochs           1 (2 steps)", done.stdout)

    def test_variables_that_say_nothing_of_this_launch_raise_no_alarm(self):
        for env in ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"},  # a batch script without srun
                    {"SLURM_STEP_NUM_TASKS": "1"}, {"SLURM_STEP_NUM_TASKS": ""}, {"PMI_SIZE": "many"}):
            with self.subTest(env):
                self.assertEqual(self.smoke(env=env).returncode, 0)

    def test_mpirun_works_within_a_step_of_a_batch_system(self):
        for tasks in ("1", "3"):  # of mpirun's own daemons
            done = self.smoke(launcher=TWO, env={"SLURM_STEP_NUM_TASKS": tasks, "SLURM_PROCID": "0", "PMI_SIZE": "5"})
            self.assertEqual(done.returncode, 0, done.stderr)

    @unittest.skipUnless(OPEN_MPI, "takes Open MPI's and PMIx' variables away")
    def test_a_step_of_a_heterogeneous_job_counts_its_own_part_only(self):
        # As srun starts a part of one task: nothing but Slurm says how many there are.
        launcher = [*TWO, "env", "-u", "OMPI_COMM_WORLD_SIZE", "-u", "PMIX_SIZE", "SLURM_STEP_NUM_TASKS=1", "SLURM_PROCID=0"]
        self.assertEqual(self.smoke(launcher=launcher).returncode, 4)
        done = self.smoke(launcher=[*launcher, "SLURM_HET_SIZE=2"])
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_deterministic_run_fixes_the_order_of_sums_and_tells_it(self):
        def variables(*options, env=None):
            folder = json.loads(self.smoke("--json", *options, env=env).stdout)["results"]
            return json.loads((pathlib.Path(folder) / "env.json").read_text())["variables"]

        deterministic = ("--set", "backend.device=auto", "--set", "backend.deterministic=true")
        self.assertNotIn("NCCL_ALGO", variables("--set", "backend.device=auto"))
        fixed = variables(*deterministic)
        self.assertEqual((fixed["NCCL_ALGO"], fixed["NCCL_PROTO"]), ("Ring", "Simple"))
        self.assertEqual(variables(*deterministic, env={"NCCL_ALGO": "Tree"})["NCCL_ALGO"], "Tree")

    def test_a_bad_config_is_told_once_for_all_ranks(self):
        done = self.smoke("--set", "trian.steps=1", launcher=TWO)
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr.count("/trian: unknown key"), 1, done.stderr)
        self.assertIn("--set trian.steps=1", done.stderr)

    def test_a_bad_command_line_is_told_once_for_all_ranks(self):
        done = self.smoke("--nope", launcher=TWO)
        self.assertEqual(done.returncode, 2)
        if OPEN_MPI:  # whose first process that ends before MPI_Init takes the others along
            self.assertEqual(done.stderr.count("trainmark: error:"), 1, done.stderr)

    def test_a_missing_dataset_ends_all_ranks_with_3(self):
        done = self.smoke("--set", "data.train=/none/such", launcher=TWO)
        self.assertEqual(done.returncode, 3)
        self.assertEqual(done.stderr.count("/none/such"), 1, done.stderr)

    def test_an_unset_variable_on_one_rank_names_the_rank(self):
        config = self.folder / "nodefault.json"
        config.write_text(pathlib.Path(SMOKE).read_text().replace(":-data/cosmoflow-tiny", ""))
        done = call("run", config, launcher=[*MPIRUN, "-n", "1", BINARY, "run", str(config), ":", "-n", "1", "env", "-u", "TRAINMARK_DATA"],
                    env=self.env)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("rank 1 of 2", done.stderr)
        self.assertIn("export TRAINMARK_DATA", done.stderr)

    def test_data_that_differ_between_ranks_refuse_with_both_paths(self):
        launcher = [*MPIRUN, "-n", "1", BINARY, "run", SMOKE, ":", "-n", "1", "env", "TRAINMARK_DATA=/none/such"]
        done = call("run", SMOKE, launcher=launcher, env=self.env, cwd=self.folder)
        self.assertEqual(done.returncode, 4, done.stderr)
        for words in ("/data/train: is \"/none/such/train\" on rank 1", f"{self.folder}/data/train", "mpirun -x"):
            self.assertEqual(done.stderr.count(words), 1, done.stderr)

    def test_files_that_one_rank_does_not_see_are_one_error_of_all(self):
        # A relative path, and a rank that starts in another folder.
        launcher = [*MPIRUN, "-n", "1", BINARY, "run", SMOKE, ":", "-n", "1", "-wdir", "/"]
        done = call("run", SMOKE, launcher=launcher, env={"TRAINMARK_DATA": "data"}, cwd=self.folder)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("rank 1 of 2: data/train/packed_", done.stderr)
        self.assertEqual(done.stderr.count("trainmark: error:"), 1, done.stderr)
        self.assertNotIn("no progress", done.stderr)  # the watchdog, which would be the other way out

    def test_ranks_of_different_arguments_refuse_with_both_texts(self):
        launcher = [*MPIRUN, "-n", "1", BINARY, "run", SMOKE, ":", "-n", "1"]
        done = call("run", SMOKE, "--set", "seed=5", launcher=launcher, env=self.env)
        self.assertEqual(done.returncode, 4, done.stderr)
        for words in ("rank 1 was started with", "seed=5", "give every rank the same arguments"):
            self.assertIn(words, done.stderr)

    def test_openmp_s_binding_of_the_first_thread_is_not_taken_for_the_launch_s(self):
        cpus = len(os.sched_getaffinity(0))
        for env in ({"OMP_PROC_BIND": "true", "OMP_PLACES": "threads"}, {"OMP_PLACES": "threads"}, {"GOMP_CPU_AFFINITY": f"{min(os.sched_getaffinity(0))}"}):
            with self.subTest(env):
                machine = json.loads(call("env", "--json", env=env).stdout)["machine"]
                self.assertEqual((machine["cores_usable"], machine["cores_of_first_thread"]), (cpus, 1))
                folder = pathlib.Path(json.loads(self.smoke("--json", env=env).stdout)["results"])
                rank = json.loads((folder / "env.json").read_text())["ranks"][0]
                self.assertEqual(rank["cpus"], sorted(os.sched_getaffinity(0)))
                self.assertIn(f" {cpus} thread", json.loads((folder / "run.json").read_text())["texts"]["backend"])

    @unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "needs two CPUs")
    def test_threads_that_openmp_binds_to_one_cpu_are_warned_of(self):
        done = self.smoke("--set", "backend.threads=2", env={"GOMP_CPU_AFFINITY": f"{min(os.sched_getaffinity(0))}"})
        self.assertRegex(done.stderr, r"warning: OpenMP binds 2 threads to 1 of this process's \d+ CPUs \(GOMP_CPU_AFFINITY")

    def test_a_team_smaller_than_wanted_is_used_as_it_is_and_told(self):
        for env in ({"OMP_THREAD_LIMIT": "1"}, {"OMP_MAX_ACTIVE_LEVELS": "0"}):
            with self.subTest(env):
                done = self.smoke("--set", "backend.threads=2", env=env)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn("warning: OpenMP gives 1 of 2 threads", done.stderr)
                self.assertIn(" 1 thread a rank)", done.stderr)

    def test_how_threads_wait_is_chosen_where_the_user_has_not(self):
        def waits(**env):
            document = json.loads(call("env", "--json", env=env).stdout)
            return document["machine"]["openmp_waits"], document["variables"]

        told, variables = waits()
        self.assertEqual((told, variables["GOMP_SPINCOUNT"]), ("GOMP_SPINCOUNT=10000 (trainmark's choice)", "10000"))
        self.assertEqual([name for name in variables if name.startswith("TRAINMARK_")], [])
        self.assertEqual(waits(GOMP_SPINCOUNT="7")[0], "GOMP_SPINCOUNT=7 (the environment's)")
        told, variables = waits(OMP_WAIT_POLICY="active")
        self.assertEqual(told, "OMP_WAIT_POLICY=active (the environment's)")
        self.assertNotIn("GOMP_SPINCOUNT", variables)

    def test_starting_anew_keeps_the_process_its_name_and_its_arguments(self):
        done = subprocess.run(["bash", "-c", 'echo $$; exec -a other/name "$@"', "bash", BINARY, "env", "--json", "--nope"],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("--nope", done.stderr)
        process = subprocess.Popen([BINARY, "data", "generate", str(self.folder / "named"), "--train-samples", "4096"],
                                   stderr=subprocess.PIPE, text=True)
        process.stderr.readline()
        name = pathlib.Path(f"/proc/{process.pid}/comm").read_text().strip()
        process.terminate()
        process.communicate(timeout=30)
        self.assertEqual(name, pathlib.Path(BINARY).name)

    def test_a_limit_on_file_sizes_that_mpi_would_not_survive_is_refused_before_it_starts(self):
        limited = ["bash", "-c", 'ulimit -f "$0"; exec "$@"']
        for launcher in ([], TWO):
            for command in (["run", SMOKE], ["data", "generate", str(self.folder / "none"), "--train-samples", "1"]):
                with self.subTest(launcher=launcher, command=command):
                    done = call(*command, launcher=[*launcher, *limited, "65535"], env=self.env, timeout=60)
                    self.assertEqual(done.returncode, 4, done.stderr)
                    self.assertEqual(done.stderr.count("ulimit -f: files may have 65535 KiB at most"), 1, done.stderr)
                    self.assertIn("to 65536 KiB at least", done.stderr)
            done = self.smoke(launcher=[*launcher, *limited, "65536"])
            self.assertEqual(done.returncode, 0, done.stderr)
        done = call("validate", SMOKE, launcher=[*limited, "1"], env=self.env, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_stack_that_openmp_cannot_give_its_threads_is_named_with_its_variable(self):
        limited = ["bash", "-c", 'ulimit -v 8000000; exec "$@"', "bash"]
        for name in ("OMP_STACKSIZE", "GOMP_STACKSIZE"):
            with self.subTest(name):
                results = self.folder / f"none-{name}"
                done = self.smoke("--set", "backend.threads=2", "--set", f"results.folder={results}", launcher=limited,
                                  env={name: "16G"} if name[0] == "O" else {name: "16777216"})
                self.assertEqual(done.returncode, 4, done.stderr)
                self.assertIn("cannot start thread 2 of", done.stderr)
                self.assertRegex(done.stderr, name + r"=16\w+ asks for a stack of 16384 MiB.*lower that variable or unset it")
                self.assertEqual(done.stderr.count("cannot start thread"), 1, done.stderr)
                self.assertFalse(results.exists())

    def test_threads_that_cannot_be_started_are_named_before_there_are_results(self):
        for launcher in ((), TWO):
            with self.subTest(launcher):
                results = self.folder / f"none-{len(launcher)}"
                limited = [*launcher, "bash", "-c", 'ulimit -v 3000000; exec "$@"', "bash"]
                done = self.smoke("--set", "backend.threads=2000", "--set", f"results.folder={results}", launcher=limited)
                self.assertEqual(done.returncode, 4, done.stderr)
                self.assertRegex(done.stderr, r"cannot start thread \d+ of 20\d\d: .* \(.*ulimit -v 3000000.*lower /backend/threads")
                self.assertEqual(done.stderr.count("cannot start thread"), 1, done.stderr)
                self.assertFalse(results.exists())

    def test_results_that_cannot_be_written_end_with_4(self):
        done = call("run", SMOKE, "--set", "results.folder=/proc/none", env=self.env)
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertIn("/results/folder", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
