"""What the tests on a Slurm of their own share: jobs and steps of it, and what they leave on each node."""
import contextlib
import hashlib
import os
import pathlib
import shlex
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/launch"))

from cluster import Cluster, enter_or_skip  # noqa: E402
from harness import BINARY, EndToEnd, Run  # noqa: E402

GATE = os.environ.get("TRAINMARK_GATE", "")
PATIENCE = 120  # seconds until something is taken for hung


def main(nodes: int = 2):
    enter_or_skip()
    SlurmCase.cluster = Cluster(nodes)
    SlurmCase.cluster.start()
    program = unittest.main(verbosity=2, exit=False)
    failed = {getattr(case, "test_case", case) for case, _ in program.result.failures + program.result.errors}
    if not failed or not all(isinstance(case, SlurmCase) and case.died_while_mpi_started() for case in failed):
        sys.exit(0 if program.result.wasSuccessful() else 1)
    # Once in many launches Open MPI's PMIx client was seen to crash in MPI_Init, before a word of ours.
    print("once more, for MPI crashed while it started:", *failed, file=sys.stderr)
    again = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(type(case)(case._testMethodName) for case in failed))
    sys.exit(0 if again.wasSuccessful() else 1)


class SlurmCase(EndToEnd):
    cluster = None
    still = {"schedule": {"base_rate": 1e-12, "peak_rate": 1e-12}}  # losses then tell whether each sample came once

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for split in ("train", "validation"):  # where a manifest stands, only staging opens the files
            done = cls.trainmark("data", "verify", str(cls.data / split), "--write")
            assert done.code == 0, done.output

    def setUp(self):
        super().setUp()
        self.said = ""  # by all launches
        self.addCleanup(self.tidy)
        self.target = self.cluster.local / "set"
        self.results = self.folder / "results"
        self.replicate = {"strategy": "replicate", "target": str(self.target)}

    def tidy(self):
        """No test finds another one's jobs, or its files on the nodes."""
        self.said += self.output()
        subprocess.run(["scancel", "--quiet", "--signal=KILL", "--full", "--me"], check=False)
        subprocess.run(["scancel", "--quiet", "--me"], check=False)
        self.cluster.wait_for_nodes()
        for node in self.cluster.nodes:
            subprocess.run(["find", str(self.cluster.disk(node)), "-mindepth", "1", "-delete"], check=True)

    # Steps and jobs ---------------------------------------------------------------------------------------------------

    def srun(self, *command, options=("-N", "2", "--ntasks-per-node", "2", "--mpi=pmix"), env=None) -> Run:
        done = subprocess.run(["srun", *options, *map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", timeout=PATIENCE, env={**os.environ, **(env or {})})
        self.said += done.stdout
        return Run(done.returncode, done.stdout, self.results)

    def died_while_mpi_started(self) -> bool:
        before, crash, _ = self.said.partition("*** Process received signal ***")
        return bool(crash) and "results in" not in before

    def run_on_nodes(self, expect: int = 0, **changes) -> Run:
        done = self.srun(BINARY, "run", self.write_config(**changes))
        self.assertEqual(done.code, expect, done.output)
        return done

    def trainmark_run(self, **changes) -> str:
        """As a batch script says it."""
        return shlex.join([BINARY, "run", str(self.write_config(**changes))])

    @contextlib.contextmanager
    def closed_gate(self):
        """What to put before a command so that it cannot stage one of the files before the block is left."""
        closed = self.folder / "gate-is-closed"
        closed.touch()
        yield shlex.join(["env", f"LD_PRELOAD={GATE}", "GATE_OF=/train/packed_000005.hdf5", f"GATE_CLOSED={closed}"])
        closed.unlink(missing_ok=True)

    def submit(self, script: str, *options, env=None) -> str:
        """The id of a job whose output is gathered in `job.out` of the test's folder."""
        path = self.folder / "job.sh"
        path.write_text(script if script.startswith("#!") else f"#!/bin/bash\n{script}\n")
        command = ["sbatch", "--parsable", "--open-mode=append", "-o", str(self.folder / "job.out"), *options, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})})
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def output(self) -> str:
        path = self.folder / "job.out"
        return path.read_text(errors="replace") if path.exists() else ""

    @staticmethod
    def facts(job: str) -> dict:
        """What Slurm knows of a job, of an array's last task."""
        told = subprocess.run(["scontrol", "show", "job", "--oneliner", job], capture_output=True, text=True).stdout
        return dict(item.split("=", 1) for item in told.split() if "=" in item)

    def wait_for(self, condition, what: str):
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            self.assertLess(time.monotonic(), deadline, f"{what} never came\n{self.output()}\n{self.cluster.logs()}")
            time.sleep(0.05)
        return found

    def finished(self, job: str) -> dict:
        """The job's facts once it has ended; every task's, where it is an array."""
        def ended():
            queue = subprocess.run(["squeue", "-h", "-j", job, "-o", "%T"], capture_output=True, text=True).stdout
            return not queue.strip()
        self.wait_for(ended, f"the end of job {job}")
        return self.facts(job)

    @staticmethod
    def processes_of(task: int) -> list:
        """Ids of trainmark's processes that are this task of a step, on whatever node."""
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
            try:
                if f"\0SLURM_PROCID={task}\0".encode() in path.read_bytes() and path.with_name("comm").read_text() == "trainmark\n":
                    found.append(int(path.parent.name))
            except OSError:  # it has ended meanwhile
                continue
        return found

    # What runs leave ---------------------------------------------------------------------------------------------------

    def runs(self) -> dict:
        """The runs that have left results so far, by the names of their folders."""
        return {path.name: FolderRun(path) for path in sorted(self.results.glob("*/*")) if path.is_dir()}

    def only_run(self) -> Run:
        [run] = self.runs().values()
        return run

    def wait_for_event(self, key: str):
        """Until the one run's log has that event."""
        self.wait_for(lambda: any(key in log.read_text() for log in self.results.glob("*/*/mlperf.log")), f"event {key}")

    def hashes(self, folder: pathlib.Path) -> dict:
        """Contents of the samples' files below `folder`, by split and name."""
        return {(path.parent.name, path.name): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.hdf5")}

    def on_nodes(self) -> list:
        """hashes() of the local target of each node."""
        return [self.hashes(self.cluster.disk(node) / self.target.name) for node in self.cluster.nodes]

    def partial_files(self) -> list:
        return [path for node in self.cluster.nodes for path in self.cluster.disk(node).rglob(".trainmark-*")]

    def assert_closed(self, run: Run, code: int):
        """The log ends as aborted, and run.json knows the code."""
        self.assertEqual(run.json()["exit_code"], code, run.json())
        events = run.events()
        opened = [event["key"] for event in events if event["event_type"] == "INTERVAL_START"]
        closed = [event["key"] for event in events if event["event_type"] == "INTERVAL_END"]
        self.assertEqual(sorted(key.removesuffix("_start") for key in opened), sorted(key.removesuffix("_stop") for key in closed))
        self.assertEqual((events[-1]["key"], events[-1]["metadata"]["status"]), ("run_stop", "aborted"))
        self.assertEqual(self.partial_files(), [])


class FolderRun(Run):
    """A run that is known by its results folder alone."""

    def __init__(self, folder: pathlib.Path):
        super().__init__(0, "", folder.parents[1])
        self._folder = folder

    @property
    def folder(self) -> pathlib.Path:
        return self._folder
