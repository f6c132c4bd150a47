#!/usr/bin/env python3
"""Our `official` verdict against the official checker itself, over the sample logs and thousands of mutations of them."""
import contextlib
import functools
import io
import json
import logging
import os
import pathlib
import subprocess
import tempfile
import unittest
from unittest import mock

import yaml
from mlperf_logging.compliance_checker import mlp_compliance

ROOT = pathlib.Path(__file__).resolve().parents[3]
LOGS = sorted((ROOT / "tests/golden/logs").glob("*.txt"))
TOKEN = ":::MLLOG "
LOAD = yaml.load  # itself, where the test puts a remembering one in its place
RULESETS = {"training": "4.0.0", "hpc": "3.0.0"}
VALUES = [None, True, False, 0, 1, -1, 2, 0.5, "", "text", "512", "closed", "open", "cosmoflow", "LAMB", "lars", [], [1, 2], {}, {"a": 1},
          float("nan"), float("inf"), 0.124, 0.12400000542402267, 0.1240000001, 0.82, 0.8199999928474426, 0.759, 1.0, 1e-6,
          9.999999974752427e-07, 0.0001, 5e-05, 1e-05, 121266, 15158]


WHOLE = ("drop ", "double ", "move ", "misspell ")
# What a reader of bytes, JSON or numbers may trip over, as the text of a value.
RAW_VALUES = ["1e400", "-1e400", "1e-400", "1e", "1e400x", "01e400", "9" * 400, "-" + "9" * 400, "9" * 30, "1.", ".5", "+1", "01", "0x10",
              "nan", "inf", "-NaN", "NaN", "-Infinity", "Infinity", "True", "None", "'a'", '"\\ud800"', '"\\ud83d\\ude00"', '"\\udc00\\ud800"',
              '"\\u0001number:NaN"', '"C:\\data"', '"a\tb"', '"a\x00b"', '"\x7f"', '"\u00e9"', '"see :::MLLOG {}"', '"see \\u003a::MLLOG {}"',
              '{"NaN": 1}', "{NaN: 1}", "{1: 2}", '{"a": 1, "a": 2}', "[1,]", "[NaN, 1e999]", '"NaN"', "/*c*/ 1"]
RAW_TIMES = ['"1_0"', '"1__0"', '"+5"', '"+-5"', '"inf"', '"nan"', '"1e400"', '" 7 "', '"1,5"', '"0x10"', '""', "1e400", "9" * 400, "true", "NaN"]


def raw_mutations(lines: list):
    """The same for whole lines: texts that no JSON writer gives."""
    for index in (0, len(lines) // 2, len(lines) - 1):
        line, record = lines[index], record_of(lines[index])
        key = f"{index} {record['key']}"
        before, after = lines[:index], lines[index + 1:]
        free = TOKEN + '{"time_ms": %d, "key": "free", "value": %%s, "metadata": {}}' % record["time_ms"]
        for value in RAW_VALUES:
            yield f"free raw {key} {value[:20]!r}", lines[:index + 1] + [free % value] + after
            yield f"raw {key} {value[:20]!r}", before + [changed([line], 0, value="@@")[0].replace('"@@"', value)] + after
        for time in RAW_TIMES:
            yield f"raw time {key} {time[:20]}", before + [changed([line], 0, time_ms="@@")[0].replace('"@@"', time)] + after
        for what, text in {"NUL after": line + "\0", "NULs after": line + "\0\0", "no-break space after": line + "\u00a0",
                           "blank after the token": line.replace(TOKEN, TOKEN + "  "), "tab": line.replace(TOKEN, TOKEN + "\t"),
                           "form feed after the token": line.replace(TOKEN, TOKEN + "\f"), "byte order mark": line.replace(TOKEN, TOKEN + "\ufeff"),
                           "no blank": line.replace(TOKEN, TOKEN.strip()), "lower case": line.replace(TOKEN, ":::MLLog "),
                           "four colons": ":" + line, "CR": line + "\r", "CR inside": line.replace(", ", ",\r", 1), "only the token": TOKEN,
                           "vertical tab after": line + "\v", "unit separator after": line + "\x1f", "comma": line + ",",
                           "comment": line + " // x", "deep": free % ("[" * 200 + "]" * 200)}.items():
            yield f"{what} {key}", before + [text] + after


class Official:
    """The official checker, in this process."""

    def __init__(self):
        logging.disable(logging.CRITICAL)
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "log.txt")

    @staticmethod
    @functools.cache
    def rules_of(path: str):
        """The checker reads its rule files anew for each log, which takes longer than all its checks."""
        with open(path, encoding="utf-8") as file:
            return LOAD(file, Loader=yaml.BaseLoader)

    def passes(self, text: str, usage: str, ruleset: str) -> bool:
        with open(self.path, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        mlp_compliance.enqueued_configs.clear()
        checker = mlp_compliance.make_checker(usage, ruleset, quiet=False, werror=True)
        try:
            with mock.patch.object(mlp_compliance.yaml, "load", lambda file, Loader: self.rules_of(file.name)), \
                    contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                return bool(mlp_compliance.main(self.path, f"{usage}_{ruleset}/common.yaml", checker)[0])
        except Exception:  # the command line would end in a traceback, which counts as failed
            return False


class Ours:
    def __init__(self):
        self.process = subprocess.Popen([os.environ["JUDGE_STREAM"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def verdict(self, text: str, usage: str, ruleset: str) -> str:
        data = text.encode()
        self.process.stdin.write(f"{usage} {ruleset} {len(data)}\n".encode() + data)
        self.process.stdin.flush()
        return self.process.stdout.readline().decode(errors="replace").strip()

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def record_of(line: str) -> dict:
    return json.loads(line.split(TOKEN, 1)[1])


def line_of(record: dict) -> str:
    return TOKEN + json.dumps(record)


def changed(lines: list, index: int, **fields) -> list:
    record = {**record_of(lines[index]), **fields}
    return lines[:index] + [line_of(record)] + lines[index + 1:]


def mutations(lines: list):
    """(what was done, lines) for every record of a log."""
    for index, line in enumerate(lines):
        key = record_of(line)["key"]
        yield f"drop {index} {key}", lines[:index] + lines[index + 1:]
        yield f"double {index} {key}", lines[:index + 1] + lines[index:]
        rest = lines[:index] + lines[index + 1:]
        for place in (0, len(rest) // 2, len(rest)):
            yield f"move {index} {key} to {place}", rest[:place] + [line] + rest[place:]
        yield f"misspell {index} {key}", changed(lines, index, key=key + "x")
        for metadata in ({}, None, [], "status epoch_num", {"epoch_num": "one"}):
            yield f"metadata {index} {key} {metadata!r}", changed(lines, index, metadata=metadata)
        for value in VALUES:
            yield f"value {index} {key} {value!r}", changed(lines, index, value=value)
        for time in (None, "1.5", "x", [], record_of(line)["time_ms"] + 1800000, record_of(line)["time_ms"] - 1800000):
            yield f"time {index} {key} {time!r}", changed(lines, index, time_ms=time)
        for field in ("time_ms", "key", "value", "metadata", "namespace", "event_type"):
            record = record_of(line)
            del record[field]
            yield f"without {field} {index} {key}", lines[:index] + [line_of(record)] + lines[index + 1:]
        yield f"cut {index} {key}", lines[:index] + [line[:-3]] + lines[index + 1:]
        yield f"tag {index} {key}", lines[:index] + ["[1,0]<stdout>: " + line] + lines[index + 1:]
        yield f"glued {index} {key}", lines[:index] + ["".join(lines[index:index + 2])] + lines[index + 2:]
        yield f"trailing {index} {key}", lines[:index] + [line + " \t"] + lines[index + 1:]
        yield f"number words {index} {key}", lines[:index] + [line.replace("null", "nan")] + lines[index + 1:]


class Compliance(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.official, cls.ours = Official(), Ours()

    @classmethod
    def tearDownClass(cls):
        cls.ours.close()

    def usage_of(self, path: pathlib.Path) -> tuple:
        usage = "training" if path.name.startswith("training") else "hpc"
        return usage, RULESETS[usage]

    def compare(self, what: str, text: str, usage: str, ruleset: str):
        official = self.official.passes(text, usage, ruleset)
        ours = self.ours.verdict(text, usage, ruleset)
        if official != ours.startswith("PASS"):
            self.disagreements.append(f"{what}: official {'PASS' if official else 'FAIL'}, ours {ours}")

    def test_verdicts_agree_on_all_mutations(self):
        self.disagreements, count = [], 0
        for path in LOGS:
            usage, ruleset = self.usage_of(path)
            lines = path.read_text(encoding="utf-8").splitlines()
            lines = [line for line in lines if TOKEN in line]
            # Every record is dropped, doubled, moved and misspelt; of the rest a seventh of each log's, all kinds in turn.
            for number, (what, mutated) in enumerate(mutations(lines)):
                if what.startswith(WHOLE) or number % 7 == len(path.name) % 7:
                    count += 1
                    self.compare(f"{path.name}: {what}", "\n".join(mutated) + "\n", usage, ruleset)
            for what, mutated in raw_mutations(lines):
                count += 1
                self.compare(f"{path.name}: {what}", "\n".join(mutated) + "\n", usage, ruleset)
        self.assertGreater(count, 10_000)
        self.assertEqual(self.disagreements, [], f"{len(self.disagreements)} of {count} verdicts differ")
        print(f"{count} mutations of {len(LOGS)} logs, all verdicts equal")

    def test_verdicts_agree_on_the_samples_under_every_ruleset(self):
        self.disagreements = []
        for path in LOGS:
            usage, ruleset = self.usage_of(path)
            text = path.read_text(encoding="utf-8")
            self.assertTrue(self.official.passes(text, usage, ruleset), path.name)
            for other in ("1.0.0", "2.0.0", "3.0.0") if usage == "hpc" else ("4.0.0",):
                self.compare(f"{path.name} under {other}", text, usage, other)
        for text in ("", "no record\n", TOKEN + "\n", TOKEN + "{}\n", TOKEN + "[]\n"):
            self.compare(repr(text), text, "hpc", "3.0.0")
        self.assertEqual(self.disagreements, [])

    @staticmethod
    def closed_log(*form: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "closed.log")
            subprocess.run([os.environ["WRITE_CLOSED_LOG"], path, *form], check=True)
            return pathlib.Path(path).read_text(encoding="utf-8")

    def test_the_official_checker_accepts_what_our_writer_writes(self):
        text = self.closed_log()
        self.assertTrue(self.official.passes(text, "hpc", "3.0.0"), text)
        self.assertEqual(self.ours.verdict(text, "hpc", "3.0.0"), "PASS")
        records = [record_of(line) for line in text.splitlines()]
        values = {record["key"]: record["value"] for record in records}
        self.assertEqual(values["submission_org"], "Zürich \"lab\" \\ \t\x01 :::MLLOG {}")
        self.assertEqual(values["seed"], 9007199254740991)
        self.assertEqual(values["opt_base_learning_rate"], 0.024)
        self.assertEqual([record["value"] for record in records if record["key"] == "train_loss"][1], float("inf"))
        self.assertTrue(all(record["metadata"]["file"] == "write_closed_log.cpp" and record["metadata"]["lineno"] > 0
                            for record in records))

    def test_the_official_checker_accepts_the_keys_that_deepcams_recipes_log(self):
        for form in ("lamb", "adamw"):
            text = self.closed_log(form)
            self.assertTrue(self.official.passes(text, "hpc", "3.0.0"), text)
            self.assertEqual(self.ours.verdict(text, "hpc", "3.0.0"), "PASS", form)
            for key in ("opt_eps", "opt_betas", "batchnorm_group_size", "gradient_accumulation_frequency", "scheduler_type"):
                without = "\n".join(line for line in text.splitlines() if f'"{key}"' not in line) + "\n"
                self.assertFalse(self.official.passes(without, "hpc", "3.0.0"), f"{form} without {key}")

    def test_the_official_checker_accepts_the_keys_that_resnets_recipes_log(self):
        needed = {"lars": ("lars_opt_base_learning_rate", "lars_opt_end_learning_rate", "lars_opt_learning_rate_decay_poly_power",
                           "lars_opt_learning_rate_decay_steps", "lars_epsilon", "lars_opt_learning_rate_warmup_epochs",
                           "lars_opt_momentum", "lars_opt_weight_decay"),
                  "sgd": ("sgd_opt_base_learning_rate", "sgd_opt_end_learning_rate", "sgd_opt_learning_rate_decay_poly_power",
                          "sgd_opt_learning_rate_decay_steps", "sgd_opt_momentum", "sgd_opt_weight_decay", "model_bn_span",
                          "opt_learning_rate_warmup_epochs")}
        for form, keys in needed.items():
            text = self.closed_log(form)
            self.assertTrue(self.official.passes(text, "training", "4.0.0"), text)
            self.assertEqual(self.ours.verdict(text, "training", "4.0.0"), "PASS", form)
            for key in keys:
                without = "\n".join(line for line in text.splitlines() if f'"{key}"' not in line) + "\n"
                self.assertFalse(self.official.passes(without, "training", "4.0.0"), f"{form} without {key}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
