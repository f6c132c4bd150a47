#!/usr/bin/env python3
"""What messages, helps and documents tell a user to type exists: commands, options and config keys, read against the
program's own list of them and its schema."""
import functools
import json
import pathlib
import re
import unittest

from program import ROOT, call, command_tree

# Options of other programs, which a text must name along with them.
OTHERS = {
    "mpirun": {"--allow-run-as-root", "--oversubscribe", "--bind-to", "--map-by", "--report-bindings", "--tag-output", "--mca"},
    "srun": {"--mpi", "--ntasks-per-node", "--cpus-per-task", "--gpus-per-task", "--cpu-bind", "--exclusive", "--kill-on-bad-exit", "--pty"},
    "valgrind": {"--trace-children"}, "h5repack": {"--low", "--high"}, "h5clear": {"--status"}, "h5copy": {"--flag"},
    "sbatch": {"--ntasks-per-node", "--cpus-per-task", "--gpus-per-task", "--gpus-per-node", "--signal", "--exclusive", "--requeue",
               "--open-mode", "--mem", "--wait", "--output", "--job-name"},
    "scancel": {"--signal", "--batch"}, "PALS": {"--depth", "--cpu-bind", "--ppn"}, "jsrun": {"--cpu_per_rs", "--bind"},
    "flux": {"--cores-per-task", "--gpus-per-task", "--exclusive", "--cc"},
    "cmake": {"--preset", "--build", "--install", "--prefix", "--target"},
    "ctest": {"--preset", "--repeat", "--test-dir"}, "nsys": {"--capture-range"}, "compliance_checker": {"--usage", "--ruleset", "--werror", "--log_output"},
    "chromium": {"--headless", "--screenshot", "--window-size"}, "batch system": {"--gpus", "--gpus-per-task"}, "job's memory limit": {"--mem"}, "official checker": {"--werror"},
}
SPEC = {"base", "nodes", "repeats", "axes"}  # keys of a sweep
RULE_FILES = re.compile(r"/(common|closed_|open_)")  # of the official checker
# First folders of absolute paths, in file systems or HDF5 files: everything else that begins with a slash is a config key.
FOLDERS = {"proc", "dev", "sys", "tmp", "etc", "usr", "opt", "scratch", "home", "local", "lib", "bin", "mnt", "var", "run", "big", "fast", "nvme", "nothing"}


@functools.cache
def config_keys() -> set:
    """JSON pointers of every section and key; elements of lists as 0."""
    found = set()

    def collect(schema, pointer):
        for name, value in schema.get("properties", {}).items():
            found.add(f"{pointer}/{name}")
            collect(value, f"{pointer}/{name}")
            if "items" in value:
                found.add(f"{pointer}/{name}/0")
                collect(value["items"], f"{pointer}/{name}/0")
        for alternative in schema.get("allOf", []):
            collect(alternative["then"], pointer)

    collect(json.loads(call("schema").stdout), "")
    return found


def literals(source: str) -> list:
    """The string literals of C++ as the program has them: without comments, neighbours joined."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|R"(?P<mark>\w*)\((?P<raw>.*?)\)(?P=mark)"|"(?P<text>(?:[^"\\\n]|\\.)*)"|\'(?:[^\'\\]|\\.)+\'', re.S)
    found, end = [], None
    for match in token.finditer(source):
        text = match["raw"] if match["raw"] is not None else match["text"]
        if text is None:
            continue
        if match["raw"] is None:
            text = text.replace("\\n", "\n").replace('\\"', '"')
        if end is not None and not source[end:match.start()].strip():
            found[-1] += text
        else:
            found.append(text)
        end = match.end()
    return found


def commands_in(text: str) -> list:
    """(path of subcommands, rest of the line) for each "trainmark ..." in a text."""
    text = re.sub(r"\\\n\s*", " ", text)
    found = []
    for line in re.findall(r"\btrainmark((?: +[^\s`;|&<>()\"']+| +'[^']*'| +\"[^\"]*\")+)", text):
        words = line.split()
        path = words[0] if words[0] in command_tree() and not words[0].startswith("-") else ""
        for word in words[1:]:
            if not path or f"{path} {word}" not in command_tree():
                break
            path += " " + word
        found.append((path, line))
    return found


def faults(text: str, elsewhere=frozenset()) -> list:
    """What `text` names that does not exist. `elsewhere`: options of the project's scripts."""
    every = set().union(*command_tree().values()) | elsewhere
    wrong = []
    for path, line in commands_in(text):
        options = re.findall(r"(?<![\w-])--[a-z][a-z_-]*", line)
        wrong += [f"trainmark {path}: no {option}" for option in options if option not in command_tree()[path] | {"--help"}]
        for key in re.findall(r"--set ['\"]?([\w./-]+)=", line):
            if "/" + key.strip("/").replace(".", "/") not in config_keys():
                wrong.append(f"--set: no key {key}")
    for option in re.findall(r"(?<![\w-])--[a-z][a-z_-]+", text):
        others = any(program in text and option in options for program, options in OTHERS.items())
        if option not in every and not others:
            wrong.append(f"no option {option}")
    for pointer in re.findall(r"(?<![\w.~/{}$<>\-\]*\)])/[a-z][a-z_0-9]*(?:/[a-z_0-9]+)*(?![\w./*-])", text):
        if pointer not in config_keys() and pointer.split("/")[1] not in FOLDERS | SPEC and not RULE_FILES.match(pointer):
            wrong.append(f"no key {pointer}")
    sections = {key[1:] for key in config_keys() if key.count("/") == 1 and any(other.startswith(key + "/") for other in config_keys())}
    for section, key in re.findall(rf"(?<![\w./-])({'|'.join(sorted(sections))})\.([a-z_]+)\b(?![(.])", text):
        if f"/{section}/{key}" not in config_keys() and key not in ("hdf", "json", "log", "csv", "html", "cpp", "hpp", "h"):
            wrong.append(f"no key {section}.{key}")
    return wrong


class Remedies(unittest.TestCase):
    def test_the_reading_finds_what_does_not_exist(self):
        for text in ("use --write-manifests", "trainmark data verify X --write-manifest", "trainmark data inspect --write X",
                     "lower /backend/thread", "lower /bakend/threads", "set submission.generated", "trainmark run x --set train.step=1",
                     "trainmark run x \\\n  --dry", "see /load/prefetch/0"):
            self.assertNotEqual(faults(text), [], text)
        for text in ("trainmark data verify --write X", "lower /backend/threads or train.global_batch", "srun --mpi=pmix trainmark run x --dry-run",
                     "in /proc/self, 5 samples/s and results/x", "trainmark run x --set schedule.decay=[]", "/schedule/decay/0/epoch"):
            self.assertEqual(faults(text), [], text)

    def test_the_reading_of_sources_joins_what_the_compiler_joins(self):
        self.assertEqual(literals('f("use --wri"\n  "te", "b\\"c"); // "no"\n g(R"(raw "text")"); char q = \'"\'; /* "no" */'),
                         ["use --write", 'b"c', 'raw "text"'])

    def test_every_message_names_what_exists(self):
        paths = [path for folder in ("src", "include") for path in sorted((ROOT / folder).rglob("*")) if path.suffix in (".cpp", ".hpp", ".cu", ".cuh")]
        self.assertGreater(len(paths), 200)
        for path in paths:
            if path.name == "batch_script.cpp":  # its texts are no messages, but lines for batch systems
                continue
            with self.subTest(path.relative_to(ROOT)):
                self.assertEqual([fault for text in literals(path.read_text()) if not text.startswith("<style>") for fault in faults(text)], [])

    def test_every_help_names_what_exists(self):
        for path in command_tree():
            with self.subTest(path):
                self.assertEqual(faults(call(*path.split(), "--help").stdout), [])

    def test_every_document_names_what_exists(self):
        scripts = "".join(path.read_text() for folder in ("scripts", "benchmarks") for path in sorted((ROOT / folder).glob("*.[sp][hy]")))
        elsewhere = frozenset(re.findall(r"(?<![\w-])--[a-z][a-z-]+", scripts))
        for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]:
            with self.subTest(path.name):
                text = re.sub(r"\]\([^)]*\)|<!--|-->", " ", path.read_text())
                self.assertEqual(faults(text, elsewhere), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
