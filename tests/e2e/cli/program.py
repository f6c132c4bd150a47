"""Calls of the binary, as a user makes them."""
import functools
import os
import pathlib
import re
import shlex
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARY = os.environ.get("TRAINMARK_BINARY", str(ROOT / "build/default/bin/trainmark"))
# Open MPI's mpirun, unless the build is of another MPI.
MPIRUN = shlex.split(os.environ.get("TRAINMARK_MPIEXEC", "mpirun --allow-run-as-root --oversubscribe --bind-to none"))
OPEN_MPI = "--oversubscribe" in MPIRUN


def call(*arguments, launcher=(), env=None, cwd=None, timeout=120, stdin=subprocess.DEVNULL):
    """A CompletedProcess with text output; `env` is added to a clean environment without TRAINMARK_ variables."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TRAINMARK_")}
    command = [*launcher, BINARY, *map(str, arguments)]
    return subprocess.run(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                          timeout=timeout, cwd=cwd, env={**clean, "OMP_NUM_THREADS": "1", **(env or {})})


@functools.cache
def command_tree() -> dict:
    """Every command, as the program itself lists them for shells, with its options: {"data verify": {"--write", ...}, ...}.
    The program without a command is ""."""
    script = call("completion", "bash").stdout
    words = dict(re.findall(r'^    "([a-z -]*)"\) words="([^"]*)" ;;$', script, re.M))
    return {path: {word for word in text.split() if word.startswith("--")} for path, text in words.items()}


def without_comments(text: str) -> str:
    """JSON with // and /* */ comments to plain JSON; strings stay as they are."""
    out, i, quoted = [], 0, False
    while i < len(text):
        if quoted:
            step = 2 if text[i] == "\\" else 1
            quoted = text[i] != '"'
            out.append(text[i:i + step])
            i += step
        elif text.startswith("//", i):
            i = text.find("\n", i) if "\n" in text[i:] else len(text)
        elif text.startswith("/*", i):
            i = text.index("*/", i) + 2
        else:
            quoted = text[i] == '"'
            out.append(text[i])
            i += 1
    return "".join(out)
