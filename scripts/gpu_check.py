#!/usr/bin/env python3
"""Checks trainmark on the GPU of this machine, then times it beside PyTorch; prints a table and writes one JSON file.

Correctness first: the backend's tests, the comparison with the CPU, training to the target, repeatability and the sanitizer.
Each step has its own time limit and none stops the others; measurements are left out when the budget is spent.
Exit code: 0 all correctness steps passed, 1 one did not, 2 usage, 4 no device here.
"""
import argparse
import csv
import csv
import datetime
import json
import os
import pathlib
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "configs/cosmoflow"
ENVIRONMENT = 4  # trainmark's exit code where the machine lacks something
# Own kernels only: cuDNN's would take the sanitizer minutes and are not ours.
SANITIZED = ["Elementwise", "Pool", "Scaler", "Step"]


class Steps:
    """Runs commands one after the other and remembers what became of each."""

    def __init__(self, budget: float):
        self.begin = time.monotonic()
        self.end = self.begin + budget
        self.done = []

    def left(self) -> float:
        return self.end - time.monotonic()

    def record(self, name: str, correctness: bool, state: str, seconds: float = 0.0, note: str = "") -> dict:
        step = {"step": name, "correctness": correctness, "state": state, "seconds": round(seconds, 2), "note": note}
        self.done.append(step)
        print(f"[{time.monotonic() - self.begin:5.0f} s] {name}: {state}{' (' + note + ')' if note else ''}", flush=True)
        return step

    def run(self, name: str, command: list, limit: float, correctness: bool = False) -> dict:
        """The step with `output` and `rc` beside what is recorded; rc is None where nothing ran to its end."""
        limit = min(limit, self.left())
        if limit < 5:
            return {**self.record(name, correctness, "left out", note="the time budget is spent"), "rc": None, "output": ""}
        start = time.monotonic()
        try:
            process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       text=True, errors="replace", start_new_session=True)
        except OSError as error:
            return {**self.record(name, correctness, "failed", note=str(error)), "rc": None, "output": ""}
        try:
            output, rc = process.communicate(timeout=limit)[0], process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, rc = process.communicate()[0], None
        except BaseException:  # Ctrl-C: the step has a session of its own and would go on
            os.killpg(process.pid, signal.SIGKILL)
            raise
        seconds = time.monotonic() - start
        if rc == 0:
            return {**self.record(name, correctness, "passed", seconds), "rc": rc, "output": output}
        note = f"ran past {limit:.0f} s" if rc is None else f"exit code {rc}"
        step = self.record(name, correctness, "failed", seconds, note)
        step["tail"] = output.splitlines()[-25:]
        print("\n".join("    | " + line for line in step["tail"][-12:]), flush=True)
        return {**step, "rc": rc, "output": output}

    def spoil(self, note: str) -> None:
        """The step recorded last did end well, but not with what it should have shown."""
        self.done[-1].update(state="failed", note=note)
        print(f"          {self.done[-1]['step']}: failed after all ({note})", flush=True)

    def passed(self) -> bool:
        return all(step["state"] in ("passed", "not here") for step in self.done if step["correctness"])


class Check:
    def __init__(self, arguments, work: pathlib.Path):
        self.cpu = arguments.cpu
        self.work = work
        self.trainmark = arguments.programs / "trainmark"
        self.tests = arguments.programs / "backend_ops"
        self.mpirun = ROOT / "mpirun" if (ROOT / "mpirun").exists() else shutil.which("mpirun")
        self.python = arguments.torch_python
        self.steps = Steps(arguments.budget)
        self.precisions = ["fp32", "tf32", "bf16"] + ([] if self.cpu else ["fp16"])
        self.result = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                       "mode": "cpu (a rehearsal of the script)" if self.cpu else "cuda"}

    def run_command(self, config: str, **settings) -> list:
        device = "cpu" if self.cpu else "cuda"
        settings = {"backend.device": device, "results.folder": self.work / "results", "stage.strategy": "none",
                    "load.threads": 1 if self.cpu else 4, **settings}
        command = [self.trainmark, "run", CONFIGS / config]
        for key, value in settings.items():
            command += ["--set", f"{key}={json.dumps(value) if isinstance(value, bool) else value}"]
        return command

    # --- facts -----------------------------------------------------------------------------------------------------------
    def facts(self) -> None:
        revision = ROOT / "revision"
        self.result["revision"] = revision.read_text().strip() if revision.exists() else "not a bundle"
        self.result["machine"] = {"cores": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
        fields = "name,driver_version,memory.total,power.limit,clocks.max.sm,clocks.max.mem,compute_mode"
        self.result["devices"] = []
        if shutil.which("nvidia-smi"):
            step = self.steps.run("device facts", ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"], 30)
            if step["rc"] == 0:
                rows = csv.reader(step["output"].strip().splitlines(), skipinitialspace=True)
                self.result["devices"] = [dict(zip(fields.split(","), row)) for row in rows]
        step = self.steps.run("trainmark starts", [self.trainmark, "--version"], 60, correctness=True)
        self.result["libraries"] = step["output"].strip().splitlines()

    def require_device(self) -> None:
        """Ends the script where there is none; trainmark itself says what is missing."""
        probe = self.run_command("tiny.json", **{"train.precision": "fp32", "model.width": 0.125}) + ["--check", "cpu"]
        step = self.steps.run("a device that works", probe, 120, correctness=True)
        # Not every code 4: cuDNN may refuse one precision's plan on a device that works.
        if step["rc"] == ENVIRONMENT and "/backend/device" in step["output"]:
            print("gpu_check: no device here that this build can use, nothing was checked; --cpu rehearses the script without one")
            self.write("no device", None)
            sys.exit(ENVIRONMENT)

    # --- correctness -----------------------------------------------------------------------------------------------------
    def backend_tests(self) -> None:
        report = self.work / "tests.json"
        pattern = "*Cpu2Threads*" if self.cpu else "*Cuda*"
        command = [self.tests, f"--gtest_filter={pattern}", f"--gtest_output=json:{report}", "--gtest_brief=1"]
        step = self.steps.run("backend tests", command, 150, correctness=True)
        if not report.exists():
            if step["rc"] == 0:
                self.steps.spoil("no report was written")
            return
        counts = json.loads(report.read_text())
        self.result["backend_tests"] = {key: counts[key] for key in ("tests", "failures", "errors")}
        if step["rc"] == 0 and counts["tests"] == 0:
            self.steps.spoil(f"no test matches {pattern}")

    def against_cpu(self) -> None:
        self.result["against_cpu"] = {}
        for precision in self.precisions:
            command = self.run_command("tiny.json", **{"train.precision": precision}) + ["--check", "cpu"]
            step = self.steps.run(f"{precision} against the CPU", command, 60, correctness=True)
            self.result["against_cpu"][precision] = [line for line in step["output"].splitlines() if "e-" in line or "check:" in line]

        # The shapes that are timed below; the CPU takes its time for them.
        larger = {} if self.cpu else {"model.extent": 128, "train.global_batch": 1}
        command = self.run_command("smoke_gpu.json", **larger) + ["--check", "cpu"]
        self.steps.run("bf16 at full size against the CPU", command, 90, correctness=True)

    def several_ranks(self) -> None:
        ranks = 2 if self.cpu else min(len(self.result["devices"]), 4)
        if ranks < 2 or not self.mpirun:
            self.steps.record("several ranks", True, "not here", note="one device" if self.mpirun else "no mpirun")
            return
        launch = [self.mpirun, "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", ranks]
        self.steps.run(f"{ranks} ranks against the CPU", launch + self.run_command("tiny.json") + ["--check", "cpu"], 90, correctness=True)

    def tiny_data(self) -> dict:
        folder = self.work / "tiny"
        command = [self.trainmark, "data", "generate", folder, "--quiet"]
        self.steps.run("tiny data", command + (["--train-samples", 128, "--validation-samples", 32] if self.cpu else []), 60)
        return {"data.train": folder / "train", "data.validation": folder / "validation"}

    def convergence(self, data: dict) -> None:
        shorter = {"train.until": "epochs", "train.epochs": 2} if self.cpu else {}
        self.result["convergence"] = {}
        for precision in self.precisions:
            settings = {**data, "name": f"tiny-{precision}", "train.precision": precision, **shorter}
            what = f"{precision} trains two epochs" if self.cpu else f"{precision} trains to the target"
            self.steps.run(what, self.run_command("tiny.json", **settings) + ["--quiet"], 60, correctness=True)
            self.result["convergence"][precision] = self.figures(f"tiny-{precision}")

    def repeatability(self, data: dict) -> None:
        """Deterministic runs give the same bits, whether steps are captured or not."""
        hashes = {}
        for name, capture in (("captured", True), ("again", True), ("streamed", False)):
            settings = {**data, "name": f"same-{name}", "backend.deterministic": True, "backend.capture": capture, "data.train_samples": 64}
            step = self.steps.run(f"deterministic run, {name}", self.run_command("smoke.json", **settings) + ["--quiet"], 60, correctness=True)
            folder = self.results(f"same-{name}")
            if step["rc"] == 0 and folder:
                with open(folder / "epochs.csv", newline="") as file:
                    hashes[name] = [row["parameter_hash"] for row in csv.DictReader(file)]
        same = len(hashes) == 3 and all(each and each == hashes["captured"] for each in hashes.values())
        self.steps.record("the three give the same bits", True, "passed" if same else "failed",
                          note="" if same else "parameter hashes differ or are missing: " + json.dumps(hashes)[:300])

    def sanitizer(self) -> None:
        tool = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")
        if not tool or self.cpu:
            self.steps.record("compute-sanitizer", True, "not here")
            return
        pattern = ":".join(f"*Backend{suite}*Cuda*" for suite in SANITIZED)
        for kind in ("memcheck", "racecheck"):
            # The bundle's programs are started by a script, so all processes; tests of refusals make calls that fail.
            command = [tool, "--tool", kind, "--target-processes", "all", "--error-exitcode", "9"]
            command += ["--report-api-errors", "no"] if kind == "memcheck" else []
            command += [self.tests, f"--gtest_filter={pattern}", "--gtest_brief=1"]
            step = self.steps.run(f"compute-sanitizer {kind}", command, 60, correctness=True)
            if step["rc"] is None:  # slowness is no finding
                self.steps.done[-1]["correctness"] = False

    # --- measurements ----------------------------------------------------------------------------------------------------
    def peer(self, name: str, script: str, limit: float, *arguments) -> dict:
        device = "cpu" if self.cpu else "cuda"
        step = self.steps.run(name, [self.python, ROOT / "benchmarks/peers" / script, "--device", device, *arguments], limit)
        lines = [line for line in step["output"].splitlines() if line.startswith("{")]
        try:
            return json.loads(lines[-1]) if lines else {}
        except ValueError:
            return {}

    def results(self, name: str):
        folders = sorted((self.work / "results" / name).glob("*/run.json"), key=lambda path: path.stat().st_mtime)
        return folders[-1].parent if folders else None

    def figures(self, name: str) -> dict:
        folder = self.results(name)
        return json.loads((folder / "run.json").read_text()) if folder else {}

    def ours(self, name: str, settings: dict, *options) -> dict:
        step = self.steps.run(name, self.run_command("node.json", **settings, name="throughput") + ["--quiet", *options], 90)
        run = self.figures("throughput") if step["rc"] == 0 else {}
        median = run.get("figures", {}).get("step_median_s")
        return {"samples_per_s": settings["train.global_batch"] / median if median else None, "run": run}

    def modelled(self, settings: dict) -> dict:
        """The step's nodes as the device runs them, and the floor that its data sheet gives."""
        device = "a100" if any("A100" in each.get("name", "") for each in self.result["devices"]) else "h200"
        command = [self.trainmark, "plan", CONFIGS / "node.json", "--json", "--device", device]
        for key, value in settings.items():
            command += ["--set", f"{key}={json.dumps(value) if isinstance(value, bool) else value}"]
        try:
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)
            return json.loads(done.stdout)["prediction"]
        except (ValueError, KeyError, subprocess.TimeoutExpired):
            return {}

    def has_torch(self) -> bool:
        source = "import torch" if self.cpu else "import torch; assert torch.cuda.is_available()"
        try:
            found = subprocess.run([self.python, "-c", source], capture_output=True, timeout=60).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            found = False
        if not found:
            self.steps.record("PyTorch", False, "not here", note=f"{self.python}; so no ceilings and no peer (--torch-python)")
        return found

    def throughput_row(self, settings: dict, precision: str, batch: int, extent: int) -> dict:
        what = f"{precision} batch {batch}"
        before = self.ours(f"{what}: trainmark", settings)
        torch = {} if not self.torch else self.peer(f"{what}: PyTorch", "cosmoflow_torch_cuda.py", 90, "--extent", extent, "--batch", batch, "--precision", precision,
                                                    "--steps", 2 if self.cpu else 10)
        after = self.ours(f"{what}: trainmark again", settings)
        rates = [each["samples_per_s"] for each in (before, after) if each["samples_per_s"]]
        row = {"precision": precision, "batch": batch, "trainmark": statistics.mean(rates) if rates else None,
               "trainmark_runs": rates, "torch": torch.get("samples_per_s"), "torch_best_form": torch.get("best"), "torch_forms": torch.get("forms"),
               "run": before["run"]}
        figures = before["run"].get("figures", {})
        if figures.get("steps"):  # milliseconds a step, and those of them that no step hid
            row["upload_ms"], row["upload_exposed_ms"] = (1e3 * figures[name] / figures["steps"] for name in ("upload_s", "upload_exposed_s"))
        row["ratio"] = row["trainmark"] / row["torch"] if row["trainmark"] and row["torch"] else None
        self.shares(row, settings)
        return row

    def shares(self, row: dict, settings: dict) -> None:
        """Of the ceilings measured here, one by one and as the floor that they set node by node, and of the data sheet's floor."""
        model, ceilings = self.modelled(settings), self.result["ceilings"]
        if not row["trainmark"] or not model:
            return
        step_s = row["batch"] / row["trainmark"]
        row["floor_of"] = {key: model[key] for key in ("device", "ceilings", "plans")}
        row["data_sheet_share"] = model["step_seconds_at_least"] / step_s
        flops, copy = ceilings.get("matrix_tflops", {}).get(row["precision"]), ceilings.get("copy_gb_per_s")
        if not flops or not copy:
            return
        nodes = [(node["flops"] / (flops * 1e12), node["bytes"] / (copy * 1e9)) for node in model["nodes"]]
        row["matrix_share"] = sum(node[0] for node in nodes) / step_s
        row["copy_share"] = sum(node[1] for node in nodes) / step_s
        row["floor_share"] = sum(max(node) for node in nodes) / step_s

    def measurements(self) -> None:
        self.torch = self.has_torch()
        self.result["ceilings"] = {} if not self.torch else self.peer("ceilings through PyTorch", "ceilings_torch.py", 60)
        extent, samples, steps = (32, 8, 6) if self.cpu else (128, 64, 128)
        self.throughput(extent, samples, steps)

    def throughput(self, extent: int, samples: int, steps: int) -> None:
        folder = self.work / "full"
        command = [self.trainmark, "data", "generate", folder, "--extent", extent, "--train-samples", samples,
                   "--validation-samples", 8, "--samples-per-file", 8, "--quiet"]
        self.result["throughput"] = []
        if self.steps.run("full-size data", command, 120)["rc"] != 0:
            return
        settings = {"data.train": folder / "train", "data.validation": folder / "validation", "model.extent": extent,
                    "model.dropout": 0, "train.until": "steps", "train.steps": steps, "backend.plan_cache": self.work / "plans", "seed": 1}
        for precision in ("bf16", "tf32"):
            for batch in (2, 1) if self.cpu else (4, 8, 1, 2):
                if self.steps.left() < 20:
                    self.steps.record(f"{precision} batch {batch}", False, "left out", note="the time budget is spent")
                    continue
                settings.update({"train.global_batch": batch, "train.precision": precision})
                self.result["throughput"].append(self.throughput_row(settings, precision, batch, extent))
        self.node_times({**settings, "train.global_batch": 2 if self.cpu else 4, "train.precision": "bf16"})
        self.deterministic_cost({**settings, "train.global_batch": 2 if self.cpu else 4, "train.precision": "bf16"})
        self.result["autotuned"] = {}
        for batch in (2,) if self.cpu else (4, 8):
            if self.steps.left() > 40:
                tuned = {**settings, "train.global_batch": batch, "train.precision": "bf16", "backend.autotune": True}
                self.result["autotuned"][f"bf16 batch {batch}"] = self.ours(f"bf16 batch {batch}: trainmark, autotuned", tuned)

    def node_times(self, settings: dict) -> None:
        """Which operations own the step, each run by itself."""
        if self.steps.left() < 20:
            self.steps.record("node by node", False, "left out", note="the time budget is spent")
            return
        batch = settings["train.global_batch"]
        run = self.ours(f"bf16 batch {batch}: trainmark, node by node", {**settings, "train.steps": 1}, "--measure-nodes")["run"]
        figures = run.get("figures", {})
        if "nodes_s" not in figures:
            return
        with (self.results("throughput") / "nodes.csv").open() as file:
            nodes = [{**row, "seconds": float(row["seconds"]), "share": float(row["share"])} for row in csv.DictReader(file)]
        self.result["nodes"] = {"precision": "bf16", "batch": batch, "seconds": figures["nodes_s"], "update_share": figures["nodes_update_share"],
                                "all_reduce_share": figures["nodes_all_reduce_share"], "nodes": nodes}

    def deterministic_cost(self, settings: dict) -> None:
        """A step with backend.deterministic against one without, which is timed before and after: clocks drift."""
        batch = settings["train.global_batch"]
        what = f"bf16 batch {batch}: trainmark"
        if self.steps.left() < 40:
            self.steps.record("cost of determinism", False, "left out", note="the time budget is spent")
            return
        before = self.ours(f"{what}, not deterministic", settings)
        fixed = self.ours(f"{what}, deterministic", {**settings, "backend.deterministic": True})
        after = self.ours(f"{what}, not deterministic again", settings)
        plain = [each["samples_per_s"] for each in (before, after) if each["samples_per_s"]]
        row = {"precision": "bf16", "batch": batch, "deterministic": fixed["samples_per_s"], "plain": statistics.mean(plain) if plain else None,
               "plain_runs": plain, "run": fixed["run"]}
        row["step_ratio"] = row["plain"] / row["deterministic"] if row["plain"] and row["deterministic"] else None
        self.result["deterministic_cost"] = row

    # --- what is left behind ---------------------------------------------------------------------------------------------
    def table(self) -> None:
        print(f"\n{'step':<40}{'':>10}{'seconds':>10}")
        for step in self.steps.done:
            print(f"{step['step']:<40}{step['state']:>10}{step['seconds']:>10.1f}  {step['note'][:60]}")
        ceilings = self.result.get("ceilings")
        if ceilings:
            print(f"\nceilings: copy {ceilings.get('copy_gb_per_s')} GB/s, matrix rates in TFLOP/s {ceilings.get('matrix_tflops')}")
        rows = self.result.get("throughput")
        if not rows:
            return
        print(f"\n{'precision':<10}{'batch':>6}{'trainmark':>12}{'PyTorch':>12}{'ratio':>8}{'matrix':>9}{'copy':>9}{'floor':>9}{'sheet':>9}{'upload':>9}{'exposed':>9}"
              "  PyTorch's best form   (samples/s; shares of what was measured here and of the data sheet's floor; ms of upload a step, and not hidden by one)")
        show = lambda value, form: "-" if value is None else format(value, form)
        for row in sorted(rows, key=lambda row: (row["precision"], row["batch"])):
            shares = "".join(f"{show(row.get(key), '.1%'):>9}" for key in ("matrix_share", "copy_share", "floor_share", "data_sheet_share"))
            uploads = "".join(f"{show(row.get(key), '.2f'):>9}" for key in ("upload_ms", "upload_exposed_ms"))
            print(f"{row['precision']:<10}{row['batch']:>6}{show(row['trainmark'], '.1f'):>12}{show(row['torch'], '.1f'):>12}"
                  f"{show(row['ratio'], '.2f'):>8}{shares}{uploads}  {row['torch_best_form'] or '-'}")
        if timed := self.result.get("nodes"):
            longest = sorted(timed["nodes"], key=lambda node: -node["seconds"])[:5]
            print(f"bf16 batch {timed['batch']}, node by node: {1e3 * timed['seconds']:.3f} ms; optimizer {timed['update_share']:.1%}, all-reduce "
                  f"{timed['all_reduce_share']:.1%} of them; the longest: " + ", ".join(f"{node['node']} {node['share']:.1%}" for node in longest))
        if cost := self.result.get("deterministic_cost"):
            print(f"bf16 batch {cost['batch']}, deterministic: trainmark {show(cost['deterministic'], '.1f')} samples/s; a step takes "
                  f"{show(cost['step_ratio'], '.2f')} times as long as without ({show(cost['plain'], '.1f')} samples/s)")
        for name, run in self.result.get("autotuned", {}).items():
            print(f"{name}, autotuned: trainmark {show(run['samples_per_s'], '.1f')} samples/s")

    def write(self, verdict: str, passed) -> None:
        self.result.update(verdict=verdict, passed=passed, steps=self.steps.done)
        self.output.write_text(json.dumps(self.result, indent=2, default=str) + "\n")
        print(f"\n{verdict}; written: {self.output}")

    def run(self) -> int:
        self.facts()
        if not self.cpu:
            self.require_device()
        self.backend_tests()
        self.against_cpu()
        self.several_ranks()
        data = self.tiny_data()
        self.repeatability(data)
        self.convergence(data)
        self.sanitizer()
        if self.timing:
            self.measurements()
        self.table()
        passed = self.steps.passed()
        self.write("all correctness steps passed" if passed else "a correctness step did not pass", passed)
        return 0 if passed else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT, help="folder of trainmark and backend_ops (default: the bundle)")
    parser.add_argument("--torch-python", default=os.environ.get("TRAINMARK_PYTHON", sys.executable), help="a Python that has torch")
    parser.add_argument("--budget", type=float, default=470, help="seconds for everything (default 470)")
    parser.add_argument("--no-timing", action="store_true", help="correctness only")
    parser.add_argument("--cpu", action="store_true", help="rehearse the script on the CPU backend with tiny sizes")
    parser.add_argument("--work", type=pathlib.Path, help="folder for data and results, 3 GB (default: a temporary one, removed)")
    parser.add_argument("--json", type=pathlib.Path, default=pathlib.Path("gpu_check.json"), help="default: gpu_check.json")
    arguments = parser.parse_args()
    arguments.programs = arguments.programs.resolve()
    os.environ.setdefault("TRAINMARK_PYTHON", arguments.torch_python)  # whose CUDA libraries the bundle may take
    for program in ("trainmark", "backend_ops"):
        if not (arguments.programs / program).exists():
            parser.error(f"{arguments.programs / program} is not there (--programs)")
    with tempfile.TemporaryDirectory(prefix="trainmark-check-", dir=arguments.work) as work:
        check = Check(arguments, pathlib.Path(work))
        check.output, check.timing = arguments.json, not arguments.no_timing
        return check.run()


if __name__ == "__main__":
    sys.exit(main())
