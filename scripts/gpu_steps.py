"""Runs commands one after the other, each with its own limit, and keeps what became of them in one JSON file that is whole
after every step: whatever ends the script, a kill included, costs what was under way and nothing before it.
"""
import json
import os
import pathlib
import signal
import subprocess
import time


def text_of(value) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


class Steps:
    """`result` is what the JSON file holds; `pace` multiplies every limit and budget (tests make them short)."""

    def __init__(self, output: pathlib.Path, result: dict, pace: float = 1.0):
        self.output, self.result, self.pace = output, result, pace
        self.begin = time.monotonic()
        self.end = self.begin
        self.done = self.result.setdefault("steps", [])
        self.part = ""

    def start_part(self, name: str, budget: float) -> None:
        self.part = name
        self.end = time.monotonic() + budget * self.pace
        print(f"--- {name}: at most {budget * self.pace:.0f} s", flush=True)

    def left(self) -> float:
        """Seconds of this part's budget, as if `pace` were 1."""
        return (self.end - time.monotonic()) / self.pace

    def write(self) -> None:
        temporary = self.output.with_name(f".{self.output.name}.{os.getpid()}")
        with temporary.open("w") as file:
            file.write(json.dumps(self.result, indent=2, default=str) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.output)

    def keep(self, key: str, value) -> None:
        """A measurement, into the file at once."""
        self.result[key] = value
        self.write()

    def record(self, name: str, correctness: bool, state: str, seconds: float = 0.0, note: str = "") -> dict:
        step = {"part": self.part, "step": name, "correctness": correctness, "state": state, "seconds": round(seconds, 2), "note": note}
        self.done.append(step)
        print(f"[{time.monotonic() - self.begin:5.0f} s] {name}: {state}{' (' + note + ')' if note else ''}", flush=True)
        self.write()
        return step

    def leave_out(self, name: str, correctness: bool = False, note: str = "the part's budget is spent") -> dict:
        return {**self.record(name, correctness, "left out", note=note), "rc": None, "output": ""}

    def run(self, name: str, command: list, limit: float, correctness: bool = False) -> dict:
        """The step with `output` and `rc` beside what is recorded; rc is None where nothing ran to its end."""
        return self.run_all(name, [(command, {})], limit, correctness)

    def run_all(self, name: str, commands: list, limit: float, correctness: bool = False) -> dict:
        """Several (command, environment) side by side as one step: rc is the first that is not 0, outputs follow each other."""
        limit = min(limit, self.left())
        if limit < 5:
            return self.leave_out(name, correctness)
        start = time.monotonic()
        processes, outputs, codes = [], [], []
        try:
            for command, environment in commands:
                processes.append(subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                                  errors="replace", start_new_session=True, env={**os.environ, **environment}))
            for process in processes:
                output, code = self.outcome(process, start + limit * self.pace)
                outputs.append(output)
                codes.append(code)
        except OSError as error:
            return {**self.record(name, correctness, "failed", note=str(error)), "rc": None, "output": ""}
        finally:  # Ctrl-C too: the steps have sessions of their own and would go on
            for process in processes:
                self.kill(process)
        output, seconds = "".join(outputs), time.monotonic() - start
        rc = next((code for code in codes if code != 0), 0)
        if rc == 0:
            return {**self.record(name, correctness, "passed", seconds), "rc": rc, "output": output}
        step = self.record(name, correctness, "failed", seconds, f"ran past {limit:.0f} s" if rc is None else f"exit code {rc}")
        step["tail"] = output.splitlines()[-25:]
        print("\n".join("    | " + line for line in step["tail"][-12:]), flush=True)
        self.write()
        return {**step, "rc": rc, "output": output}

    def outcome(self, process, deadline: float) -> tuple:
        try:
            return process.communicate(timeout=max(0.0, deadline - time.monotonic()))[0], process.returncode
        except subprocess.TimeoutExpired:
            self.kill(process)
            return process.communicate()[0], None  # what it printed until then

    @staticmethod
    def kill(process) -> None:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)

    def spoil(self, note: str, correctness: bool = True) -> None:
        """The step recorded last did end well, but not with what it should have shown."""
        self.done[-1].update(state="failed", note=note, correctness=self.done[-1]["correctness"] or correctness)
        print(f"          {self.done[-1]['step']}: failed after all ({note})", flush=True)
        self.write()

    def passed(self) -> bool:
        return all(step["state"] in ("passed", "not here") for step in self.done if step["correctness"])
