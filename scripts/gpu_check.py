#!/usr/bin/env python3
"""Measures trainmark on the GPU of this machine, checks it, and times it beside PyTorch; prints lines and writes one JSON file.

Three parts, each with a budget of its own, for machines that are at hand for minutes:
  quick  150 s  does it start, what is the device, is what will be timed right, how fast is it, node by node
  tests  240 s  the backend's tests on the device, the CPU beside, repeatability, training to the target, the sanitizer
  peer   200 s  PyTorch's best forms and the device's ceilings, with ours before and after
The file is whole after every step. A step that fails or hangs costs its own figures; only a probe that does not pass ends
the script, with what the machine says.
Exit code: 0 all correctness steps passed, 1 one did not, 2 usage, 4 no device here.
"""
import argparse
import csv
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import sys
import tempfile

from gpu_steps import Steps, text_of
from gpu_table import print_table

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "configs/cosmoflow"
SHIPPED_PLANS = ROOT / "plans"
ENVIRONMENT = 4  # trainmark's exit code where the machine lacks something
BUDGETS = {"quick": 150, "tests": 240, "peer": 200}
# Own kernels only: cuDNN's would take the sanitizer minutes and are not ours.
SANITIZED = ["Elementwise", "Pool", "Scaler", "Step"]
# Hundreds of shapes that are each planned, many of them compiled: for whoever has an hour.
LONG_TESTS = ["ThinVolumes", "WindowsThatSpan", "StridedWindows"]


class Check:
    def __init__(self, arguments, work: pathlib.Path):
        self.cpu, self.work, self.full = arguments.cpu, work, arguments.full
        self.trainmark = arguments.programs / "trainmark"
        self.tests_program = arguments.programs / "backend_ops"
        self.mpirun = ROOT / "mpirun" if (ROOT / "mpirun").exists() else shutil.which("mpirun")
        self.python = arguments.torch_python
        self.parts = list(BUDGETS) if arguments.part == "all" else [arguments.part]
        self.result = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                       "mode": "cpu (a rehearsal of the script)" if self.cpu else "cuda", "parts": self.parts,
                       "verdict": "unfinished", "passed": None}
        self.steps = Steps(arguments.json.absolute(), self.result, arguments.pace)
        self.precisions = ["fp32", "tf32", "bf16"] + ([] if self.cpu else ["fp16"])
        self.plans = work / "plans"  # a copy: a bundle may lie where nothing can be written
        if SHIPPED_PLANS.is_dir():
            shutil.copytree(SHIPPED_PLANS, self.plans)

    # --- trainmark -------------------------------------------------------------------------------------------------------
    def command(self, config: str, settings: dict, *options) -> list:
        settings = {"backend.device": "cpu" if self.cpu else "cuda", "backend.plan_cache": self.plans, "results.folder": self.work / "results",
                    "stage.strategy": "none", "load.threads": 1 if self.cpu else 8, **settings}
        command = [self.trainmark, "run", CONFIGS / config, *options]
        for key, value in settings.items():
            command += ["--set", f"{key}={text_of(value)}"]
        return command

    def call(self, name: str, command: list, limit: float, correctness: bool = False) -> dict:
        """A command of trainmark, whose refusals of kept plans are counted."""
        step = self.steps.run(name, command, limit, correctness)
        refused = [line for line in step["output"].splitlines() if "this cached plan is not used" in line]
        if refused:
            plans = self.result.setdefault("plans_made_anew", {"count": 0, "first": refused[:3]})
            plans["count"] += len(refused)
            self.steps.write()
        return step

    def results(self, name: str):
        folders = sorted((self.work / "results" / name).glob("*/run.json"), key=lambda path: path.stat().st_mtime)
        return folders[-1].parent if folders else None

    def run_json(self, name: str) -> dict:
        folder = self.results(name)
        try:
            return json.loads((folder / "run.json").read_text()) if folder else {}
        except (OSError, ValueError):
            return {}

    # --- what is timed ---------------------------------------------------------------------------------------------------
    def timed_settings(self, precision: str, batch: int) -> dict:
        folder = self.work / "full"
        extent, steps = (32, 6) if self.cpu else (128, 64)
        return {"name": "throughput", "data.train": folder / "train", "data.validation": folder / "validation", "model.extent": extent,
                "model.dropout": 0, "train.until": "steps", "train.steps": steps, "train.global_batch": batch, "train.precision": precision,
                "seed": 1}

    def full_data(self) -> bool:
        if (self.work / "full").exists():
            return True
        extent, samples = (32, 8) if self.cpu else (128, 64)
        return self.call("full-size data", [self.trainmark, "data", "generate", self.work / "full", "--extent", extent, "--train-samples", samples,
                                            "--validation-samples", 8, "--samples-per-file", 8, "--quiet"], 60)["rc"] == 0

    def ours(self, name: str, settings: dict, *options, limit: float = 60) -> dict:
        """One run: samples/s of the median step, run.json, and nodes.csv where it was asked for."""
        known = self.results(settings["name"])
        step = self.call(name, self.command("node.json", settings, "--quiet", *options), limit)
        folder = self.results(settings["name"])
        run = self.run_json(settings["name"]) if step["rc"] == 0 and folder != known else {}
        figures = run.get("figures", {})
        median = figures.get("step_median_s")
        row = {"precision": settings["train.precision"], "batch": settings["train.global_batch"],
               "samples_per_s": settings["train.global_batch"] / median if median else None, "run": run}
        if figures.get("steps"):  # milliseconds a step, and those of them that no step hid
            row["upload_ms"], row["upload_exposed_ms"] = (1e3 * figures[key] / figures["steps"] for key in ("upload_s", "upload_exposed_s"))
        if "nodes_s" in figures and (folder / "nodes.csv").exists():
            with (folder / "nodes.csv").open() as file:
                row["nodes"] = [{**node, "seconds": float(node["seconds"]), "share": float(node["share"])} for node in csv.DictReader(file)]
            row.update(nodes_s=figures["nodes_s"], update_share=figures["nodes_update_share"], all_reduce_share=figures["nodes_all_reduce_share"])
        refused = re.search(r"steps not captured: ([^\"]*)", json.dumps(run))
        if refused and settings.get("backend.capture", True):
            self.steps.spoil(f"steps were not captured: {refused.group(1)}")
        return row

    # --- facts -----------------------------------------------------------------------------------------------------------
    def facts(self) -> None:
        revision = ROOT / "revision"
        self.result["revision"] = revision.read_text().strip() if revision.exists() else "not a bundle"
        self.result["machine"] = {"cores": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version(),
                                  "shipped_plans": len(list(self.plans.glob("*.plan"))) if self.plans.exists() else 0}
        fields = "name,driver_version,memory.total,power.limit,clocks.max.sm,clocks.max.mem,compute_mode"
        self.result["devices"] = []
        if shutil.which("nvidia-smi"):
            step = self.steps.run("device facts", ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"], 30)
            if step["rc"] == 0:
                rows = csv.reader(step["output"].strip().splitlines(), skipinitialspace=True)
                self.result["devices"] = [dict(zip(fields.split(","), row)) for row in rows]
        step = self.steps.run("trainmark starts", [self.trainmark, "--version"], 30, correctness=True)
        self.steps.keep("libraries", step["output"].strip().splitlines())

    def probe(self):
        """None where something was computed rightly; else the exit code of the script, after a look at the machine."""
        settings = {"train.precision": "bf16", "model.width": 0.125}
        step = self.call("a device that works", self.command("tiny.json", settings, "--check", "cpu"), 60, correctness=True)
        if step["rc"] == 0:
            return None
        looks = {"nvidia-smi": ["nvidia-smi"], "device files": ["sh", "-c", "ls -l /dev/nvidia*"], "kernel": ["sh", "-c", "dmesg | tail -n 20"],
                 "loopback": ["sh", "-c", "cat /sys/class/net/lo/operstate; ip link show lo"],
                 "loader": ["sh", "-c", "LD_DEBUG=libs \"$0\" --version 2>&1 | grep -iE 'error|cannot|not found|fatal|libcu|libnv' | tail -n 25",
                            self.trainmark]}
        self.steps.start_part("what the machine says", 60)
        diagnosis = {}
        for name, command in looks.items():
            diagnosis[name] = self.steps.run(name, command, 10)["output"].splitlines()[-40:]
            print("\n".join(f"    | {line}" for line in diagnosis[name]), flush=True)
            self.steps.keep("diagnosis", diagnosis)
        # Not every code 4: cuDNN may refuse one precision's plan on a device that works.
        if step["rc"] == ENVIRONMENT and "/backend/device" in step["output"]:
            print("gpu_check: no device here that this build can use, nothing was checked; --cpu rehearses the script without one")
            self.conclude("no device", None)
            return ENVIRONMENT
        self.conclude("the probe did not pass", False)
        return 1

    # --- quick -----------------------------------------------------------------------------------------------------------
    def quick(self) -> None:
        batches = (2, 1) if self.cpu else (4, 8, 1)
        have_data = self.full_data()
        rows = []
        for batch in batches:
            settings = self.timed_settings("bf16", batch)
            self.call(f"bf16 batch {batch} against the CPU", self.command("node.json", settings, "--check", "cpu"), 60, correctness=True)
            if have_data:
                rows.append(self.ours(f"bf16 batch {batch}", settings, "--measure-nodes", limit=45))
                self.steps.keep("throughput", rows)
        if not have_data:
            return
        settings = self.timed_settings("bf16", batches[0])
        self.steps.keep("streamed", self.ours(f"bf16 batch {batches[0]}, not captured", {**settings, "backend.capture": False}))
        self.steps.keep("nccl_alone", self.ours(f"bf16 batch {batches[0]}, summing through NCCL", {**settings, "backend.nccl_alone": True}))
        self.steps.keep("autotuned", self.ours(f"bf16 batch {batches[0]}, engines timed", {**settings, "backend.autotune": True},
                                               "--measure-nodes", "--log-level", "debug", limit=90))
        self.steps.keep("engine_alternatives", self.engine_alternatives())

    def engine_alternatives(self, most: int = 10) -> list:
        """What each engine that was tried took, milliseconds a launch, of the graphs whose fastest takes longest."""
        graphs, folder = [], self.results("throughput")
        for log in sorted(folder.glob("diagnostics/*.log")) if folder else []:
            for line in re.findall(r"engines timed for (.*)$", log.read_text(errors="replace"), re.M):
                graph, *tried = line.split(" | ")
                engines = {name: float(ms) if ms else None for name, ms in re.findall(r"^(.+?) (?:([0-9.]+) ms|not timed)$", "\n".join(tried), re.M)}
                graphs.append({"graph": graph, "engines_ms": engines})
        return sorted(graphs, key=lambda each: -min((ms for ms in each["engines_ms"].values() if ms), default=0))[:most]

    # --- tests -----------------------------------------------------------------------------------------------------------
    def backend_tests(self) -> None:
        pattern = "*Cpu2Threads*" if self.cpu else "*Cuda*"
        if not self.full:
            pattern += "-" + ":".join(f"*{name}*" for name in LONG_TESTS)
        shards = 2 if self.cpu else min(8, max(1, (os.cpu_count() or 2) // 2))
        command = [self.tests_program, f"--gtest_filter={pattern}", "--gtest_brief=1"]
        step = self.steps.run_all("backend tests", [(command, {"GTEST_TOTAL_SHARDS": str(shards), "GTEST_SHARD_INDEX": str(shard)})
                                                    for shard in range(shards)], 110, correctness=True)
        # From what was printed: a shard that is killed writes no report.
        passed = sum(int(count) for count in re.findall(r"^\[  PASSED  \] (\d+) tests?\.", step["output"], re.M))
        failed = sorted(set(re.findall(r"^\[  FAILED  \] ([^\s,]+/[^\s,]+)", step["output"], re.M)))
        self.steps.keep("backend_tests", {"passed": passed, "failed": failed, "shards": shards, "pattern": pattern})
        if step["rc"] == 0 and passed == 0:
            self.steps.spoil(f"no test matches {pattern}")

    def against_cpu(self) -> None:
        self.result["against_cpu"] = {}
        for precision in self.precisions:
            step = self.call(f"{precision} against the CPU", self.command("tiny.json", {"train.precision": precision}, "--check", "cpu"), 45,
                             correctness=True)
            self.result["against_cpu"][precision] = [line for line in step["output"].splitlines() if "e-" in line or "check:" in line]
        self.steps.write()

    def other_workloads(self) -> None:
        """Tiny networks; their plans are made here, none are shipped."""
        for workload in ("deepcam", "resnet50"):
            name = f"{workload} bf16"
            step = self.call(f"{name} against the CPU", self.command(f"../{workload}/tiny.json", {"train.precision": "bf16"}, "--check", "cpu"), 60,
                             correctness=True)
            self.result["against_cpu"][name] = [line for line in step["output"].splitlines() if "e-" in line or "check:" in line]
        self.steps.write()

    def against_itself(self) -> None:
        """Where a CPU takes too long: a third of the samples lie beyond 2^31 bytes, where offsets of 32 bits end."""
        sizes = (("bf16", 2), ("fp32", 2)) if self.cpu else (("bf16", 24), ("tf32", 12))
        self.result["against_itself"] = {}
        for precision, batch in sizes:
            step = self.call(f"{precision} batch {batch} against itself",
                             self.command("node.json", self.timed_settings(precision, batch), "--check", "self"), 60, correctness=True)
            self.result["against_itself"][f"{precision} {batch}"] = [line for line in step["output"].splitlines() if "e-" in line or "check:" in line]
        self.steps.write()

    def several_ranks(self) -> None:
        # A communicator of one rank starts, is captured and ends as those of many do.
        self.call("NCCL alone against the CPU", self.command("tiny.json", {"backend.nccl_alone": True}, "--check", "cpu"), 45, correctness=True)
        ranks = 2 if self.cpu else min(len(self.result["devices"]), 4)
        if ranks < 2 or not self.mpirun:
            self.steps.record("several ranks", True, "not here", note="one device" if self.mpirun else "no mpirun")
            return
        launch = [self.mpirun, "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", ranks]
        self.call(f"{ranks} ranks against the CPU", launch + self.command("tiny.json", {}, "--check", "cpu"), 60, correctness=True)

    def tiny_data(self) -> dict:
        folder = self.work / "tiny"
        command = [self.trainmark, "data", "generate", folder, "--quiet"]
        self.call("tiny data", command + (["--train-samples", 128, "--validation-samples", 32] if self.cpu else []), 60)
        return {"data.train": folder / "train", "data.validation": folder / "validation"}

    def convergence(self, data: dict) -> None:
        shorter = {"train.until": "epochs", "train.epochs": 2} if self.cpu else {}
        self.result["convergence"] = {}
        for precision in self.precisions:
            settings = {**data, "name": f"tiny-{precision}", "train.precision": precision, **shorter}
            what = f"{precision} trains two epochs" if self.cpu else f"{precision} trains to the target"
            self.call(what, self.command("tiny.json", settings, "--quiet"), 45, correctness=True)
            self.result["convergence"][precision] = self.run_json(f"tiny-{precision}")
        self.steps.write()

    def repeatability(self, data: dict) -> None:
        """Deterministic runs give the same bits, whether steps are captured or not."""
        hashes = {}
        for name, capture in (("captured", True), ("again", True), ("streamed", False)):
            settings = {**data, "name": f"same-{name}", "backend.deterministic": True, "backend.capture": capture, "data.train_samples": 64}
            step = self.call(f"deterministic run, {name}", self.command("smoke.json", settings, "--quiet"), 45, correctness=True)
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
            command += [self.tests_program, f"--gtest_filter={pattern}", "--gtest_brief=1"]
            step = self.steps.run(f"compute-sanitizer {kind}", command, 60, correctness=True)
            if step["rc"] is None:  # slowness is no finding
                self.steps.done[-1]["correctness"] = False
                self.steps.write()

    def tests(self) -> None:
        self.backend_tests()
        self.against_cpu()
        self.against_itself()
        self.several_ranks()
        data = self.tiny_data()
        self.repeatability(data)
        self.convergence(data)
        self.other_workloads()
        self.sanitizer()

    # --- peer ------------------------------------------------------------------------------------------------------------
    def torch(self, name: str, script: str, limit: float, *arguments) -> dict:
        """The last whole line of JSON that the peer printed: it prints one for each form that it has measured."""
        device = "cpu" if self.cpu else "cuda"
        step = self.steps.run(name, [self.python, ROOT / "benchmarks/peers" / script, "--device", device, *arguments], limit)
        found = {}
        for line in step["output"].splitlines():
            try:
                found = json.loads(line) if line.startswith("{") else found
            except ValueError:
                pass  # cut short by the limit
        return found

    def has_torch(self) -> bool:
        source = "import torch" if self.cpu else "import torch; assert torch.cuda.is_available()"
        step = self.steps.run("PyTorch is there", [self.python, "-c", source], 60)
        if step["rc"] != 0:
            self.steps.done[-1].update(state="not here", note=f"{self.python}; so no ceilings and no peer (--torch-python)")
            self.steps.write()
        return step["rc"] == 0

    def modelled(self, precision: str, batch: int) -> dict:
        """The step's nodes as the device runs them, and the floor that its data sheet gives; from the bundle where it has them."""
        device = "a100" if any("A100" in each.get("name", "") for each in self.result["devices"]) else "h200"
        shipped = SHIPPED_PLANS / f"{device}-{precision}-{batch}.json"
        try:
            if shipped.exists():
                return json.loads(shipped.read_text())["prediction"]
            command = [self.trainmark, "plan", CONFIGS / "node.json", "--json", "--device", device]
            for key, value in self.timed_settings(precision, batch).items():
                command += ["--set", f"{key}={text_of(value)}"]
            output = self.steps.run(f"{precision} batch {batch}: the data sheet's floor", command, 30)["output"]
            return json.loads(output[output.index("{"):])["prediction"]
        except (ValueError, KeyError, OSError):
            return {}

    def shares(self, row: dict) -> None:
        """Of the ceilings measured here, one by one and as the floor that they set node by node, and of the data sheet's floor."""
        model, ceilings = self.modelled(row["precision"], row["batch"]), self.result.get("ceilings", {})
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

    def beside_torch(self, precision: str, batch: int, forms: str) -> dict:
        """Ours before and after: clocks drift. A row without PyTorch still has the rates and the shares."""
        what, settings = f"{precision} batch {batch}", self.timed_settings(precision, batch)
        before = self.ours(f"{what}: trainmark", settings)
        torch = {}
        if self.torch_here:
            torch = self.torch(f"{what}: PyTorch, {forms}", "cosmoflow_torch_cuda.py", 80, "--extent", settings["model.extent"], "--batch", batch,
                               "--precision", precision, "--forms", forms, "--steps", 2 if self.cpu else 10)
        after = self.ours(f"{what}: trainmark again", settings)
        rates = [each["samples_per_s"] for each in (before, after) if each["samples_per_s"]]
        row = {**before, "trainmark": statistics.mean(rates) if rates else None, "trainmark_runs": rates, "torch": torch.get("samples_per_s"),
               "torch_best_form": torch.get("best"), "torch_forms": torch.get("forms"), "torch_kernels": torch.get("cudnn")}
        row["ratio"] = row["trainmark"] / row["torch"] if row["trainmark"] and row["torch"] else None
        self.shares(row)
        return row

    def deterministic_cost(self, batch: int) -> dict:
        """A step with backend.deterministic against one without, which is timed before and after."""
        what, settings = f"bf16 batch {batch}", self.timed_settings("bf16", batch)
        before = self.ours(f"{what}, not deterministic", settings)
        fixed = self.ours(f"{what}, deterministic", {**settings, "backend.deterministic": True})
        after = self.ours(f"{what}, not deterministic again", settings)
        plain = [each["samples_per_s"] for each in (before, after) if each["samples_per_s"]]
        row = {"precision": "bf16", "batch": batch, "deterministic": fixed["samples_per_s"], "plain": statistics.mean(plain) if plain else None,
               "plain_runs": plain, "run": fixed["run"]}
        row["step_ratio"] = row["plain"] / row["deterministic"] if row["plain"] and row["deterministic"] else None
        return row

    def peer(self) -> None:
        if not self.full_data():
            return
        self.torch_here = self.has_torch()
        if self.torch_here:
            self.steps.keep("ceilings", self.torch("ceilings through PyTorch", "ceilings_torch.py", 45))
        forms = ("eager",) if self.cpu else ("graph", "compile+graph")
        rows = []
        for precision in ("bf16", "tf32"):
            for batch in (2, 1) if self.cpu else (4, 8):
                rows.append(self.beside_torch(precision, batch, forms[0]))
                self.steps.keep("beside_torch", rows)
            if precision == "bf16":
                self.steps.keep("deterministic_cost", self.deterministic_cost(2 if self.cpu else 4))
        for form in forms[1:]:  # compiling takes a minute: last
            for batch in (4, 8):
                rows.append(self.beside_torch("bf16", batch, form))
                self.steps.keep("beside_torch", rows)

    # --- the whole -------------------------------------------------------------------------------------------------------
    def conclude(self, verdict: str, passed) -> None:
        self.result.update(verdict=verdict, passed=passed)
        self.steps.write()
        print_table(self.result)
        print(f"\n{verdict}; written: {self.steps.output}")

    def run(self) -> int:
        self.steps.start_part(self.parts[0], BUDGETS[self.parts[0]])
        self.facts()
        if (code := self.probe()) is not None:
            return code
        for part in self.parts:
            if part != self.parts[0]:
                self.steps.start_part(part, BUDGETS[part])
            getattr(self, part)()
        passed = self.steps.passed()
        self.conclude("all correctness steps passed" if passed else "a correctness step did not pass", passed)
        return 0 if passed else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=[*BUDGETS, "all"], default="all", help="quick, tests, peer, or all in that order (default)")
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT, help="folder of trainmark and backend_ops (default: the bundle)")
    parser.add_argument("--torch-python", default=os.environ.get("TRAINMARK_PYTHON", sys.executable), help="a Python that has torch")
    parser.add_argument("--full", action="store_true", help="every backend test, also those that take an hour to plan")
    parser.add_argument("--pace", type=float, default=1.0, help="multiplies every limit and budget (default 1)")
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
        return Check(arguments, pathlib.Path(work)).run()


if __name__ == "__main__":
    sys.exit(main())
