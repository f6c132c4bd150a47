"""What the end-to-end tests share: the binary, a small dataset, and runs with their results."""
import csv
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARY = os.environ.get("TRAINMARK_BINARY", str(ROOT / "build/default/bin/trainmark"))
MPIRUN = shlex.split(os.environ.get("TRAINMARK_MPIEXEC", "mpirun --allow-run-as-root --oversubscribe --bind-to none"))

OPEN_MPI = "--oversubscribe" in MPIRUN
# Open MPI kills a second after its first signal, which a busy disk may outlast; a run takes five seconds at most.
PATIENT = {"OMPI_MCA_odls_base_sigkill_timeout": "6"}


def parent_of(process: int) -> int:
    return int(pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])


def small_config(data_folder: pathlib.Path, results_folder: pathlib.Path, changes: dict) -> dict:
    """Two epochs over 64 tiny samples: a few seconds. `changes` are merged in by section."""
    config = {
        "name": "small", "seed": 11,
        "data": {"train": str(data_folder / "train"), "validation": str(data_folder / "validation")},
        "model": {"extent": 32, "width": 0.0625},
        "schedule": {"base_rate": 0.01, "peak_rate": 0.01, "warmup_epochs": 0, "decay": []},
        "train": {"global_batch": 8, "until": "epochs", "epochs": 2},
        "submission": {"generated_data": True},
        "results": {"folder": str(results_folder)},
        "watchdog": {"step_seconds": 60},
    }
    for section, values in changes.items():
        if isinstance(values, dict):
            config.setdefault(section, {}).update(values)
        else:
            config[section] = values
    return config


class Run:
    """A finished process: code, output, and the results folder if there is one."""

    def __init__(self, code: int, output: str, results: pathlib.Path):
        self.code, self.output, self.results = code, output, results

    @property
    def folder(self) -> pathlib.Path:
        return sorted(path for path in self.results.glob("*/*") if path.is_dir())[-1]

    def json(self, name: str = "run.json") -> dict:
        return json.loads((self.folder / name).read_text())

    def log(self) -> str:
        return (self.folder / "mlperf.log").read_text()

    def events(self) -> list:
        return [json.loads(line.split(":::MLLOG ", 1)[1]) for line in self.log().splitlines()]

    def keys(self) -> list:
        return [event["key"] for event in self.events()]

    def table(self, name: str) -> list:
        with (self.folder / name).open() as file:
            return list(csv.DictReader(file))


class EndToEnd(unittest.TestCase):
    """One dataset a class, one scratch folder a test."""
    samples, validation_samples = 64, 20

    @classmethod
    def setUpClass(cls):
        cls.scratch = pathlib.Path(tempfile.mkdtemp(prefix="trainmark-e2e-"))
        cls.data = cls.scratch / "data set"  # a path with a space, always
        done = cls.trainmark("data", "generate", str(cls.data), "--train-samples", str(cls.samples), "--validation-samples",
                             str(cls.validation_samples), "--samples-per-file", "8")
        assert done.code == 0, done.output

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.scratch, ignore_errors=True)

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=self.scratch, prefix=self._testMethodName[:40] + "-"))

    @staticmethod
    def trainmark(*arguments, ranks: int = 0, launch=(), env=None, timeout: float = 240) -> Run:
        command = [*(MPIRUN + [*launch, "-n", str(ranks)] if ranks else []), BINARY, *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout,
                              env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}, errors="replace")
        return Run(done.returncode, done.stdout.decode(errors="replace") if isinstance(done.stdout, bytes) else done.stdout,
                   pathlib.Path("/nonexistent"))

    def write_config(self, **changes) -> pathlib.Path:
        path = self.folder / "config.json"
        path.write_text(json.dumps(small_config(self.data, self.folder / "results", changes), indent=1))
        return path

    def run_small(self, ranks: int = 0, expect: int = 0, options=(), launch=(), env=None, **changes) -> Run:
        done = self.trainmark("run", str(self.write_config(**changes)), *options, ranks=ranks, launch=launch, env=env)
        done.results = self.folder / "results"
        self.assertEqual(done.code, expect, done.output)
        return done

    def start_small(self, ranks: int, **changes) -> subprocess.Popen:
        """A long run in the background; returns once training has begun."""
        changes.setdefault("train", {}).update({"until": "seconds", "seconds": 200})
        command = [*MPIRUN, "-n", str(ranks), BINARY, "run", str(self.write_config(**changes))]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
                                   env={**os.environ, "OMP_NUM_THREADS": "1", **PATIENT})
        self.addCleanup(self.kill_session, process)
        deadline = time.time() + 90
        while time.time() < deadline:
            for log in (self.folder / "results").glob("*/*/mlperf.log"):
                if "epoch_start" in log.read_text():
                    time.sleep(0.5)
                    return process
            if process.poll() is not None:
                break
            time.sleep(0.05)
        self.kill_session(process)
        self.fail("training never began: " + process.communicate()[0])

    @staticmethod
    def kill_session(process):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)

    def finish(self, process, timeout: float) -> Run:
        output, _ = process.communicate(timeout=timeout)
        return Run(process.returncode, output, self.folder / "results")

    @staticmethod
    def rank_pids(process) -> dict:
        """Process ids of the ranks below mpirun, by rank."""
        found = {}
        for status in pathlib.Path("/proc").glob("[0-9]*/environ"):
            try:
                variables = dict(item.split("=", 1) for item in status.read_text(errors="replace").split("\0") if "=" in item)
                parent = parent_of(int(status.parent.name))
                starter = parent_of(parent) if parent != process.pid else parent  # Hydra has a proxy in between
            except (OSError, PermissionError):
                continue
            rank = variables.get("OMPI_COMM_WORLD_RANK", variables.get("PMI_RANK"))
            if rank is not None and starter == process.pid and status.with_name("exe").exists() and os.path.samefile(status.with_name("exe"), BINARY):
                found[int(rank)] = int(status.parent.name)
        return found
