#!/usr/bin/env python3
"""Shipped configs and documents agree with the schema, and the schema with the parser."""
import copy
import json
import pathlib
import tempfile
import unittest

import jsonschema

from program import ROOT, call, without_comments

CONFIGS = sorted((ROOT / "configs").rglob("*.json"))
SOME_DATA = {"TRAINMARK_DATA": "/some/where"}


class Configs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.schema = json.loads(call("schema").stdout)
        cls.validator = jsonschema.Draft202012Validator(cls.schema)

    def test_there_are_configs(self):
        self.assertTrue({"tiny.json", "smoke.json", "node.json", "closed_512.json"} <= {path.name for path in CONFIGS})

    def test_the_schema_is_one(self):
        jsonschema.Draft202012Validator.check_schema(self.schema)

    def test_every_config_satisfies_the_schema(self):
        for path in CONFIGS:
            with self.subTest(path.name):
                self.validator.validate(json.loads(without_comments(path.read_text())))

    def test_every_config_is_valid_for_the_program(self):
        for path in CONFIGS:
            with self.subTest(path.name):
                done = call("validate", path, env=SOME_DATA)
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_every_resolved_config_satisfies_the_schema(self):
        for path in CONFIGS:
            with self.subTest(path.name):
                self.validator.validate(json.loads(call("validate", path, "--print", env=SOME_DATA).stdout))

    def test_schema_and_parser_refuse_the_same_documents(self):
        base = {"data": {"train": "t", "validation": "v"}}
        changes = [
            ("typo", 1), ("seed", -1), ("seed", "1"), ("seed", 1.5), ("name", "a/b"), ("name", ""), ("clear_cache", 0),
            ("workload", "imagenet"), ("data", {"train": "t"}), ("data", []), ("data", {"train": "", "validation": "v"}),
            ("model", {"extent": 33}), ("model", {"extent": 0}), ("model", {"kernel": 5}), ("model", {"dropout": 1}),
            ("model", {"width": 0}), ("train", {"global_batch": 0}), ("train", {"until": "never"}),
            ("train", {"precision": "fp64"}), ("schedule", {"decay": [{"epoch": 1}]}), ("schedule", {"decay": {}}),
            ("schedule", {"decay": [{"epoch": 1, "factor": 1}]}), ("schedule", {"decay": [{"epoch": 1, "factor": 0.5, "x": 1}]}),
            ("stage", {"strategy": "copy"}), ("stage", {"reserve_percent": 100}), ("load", {"threads": 0}), ("load", {"threads": "many"}), ("stage", {"verify": "twice"}), ("stage", {"target": []}),
            ("stage", {"target": ["a", ""]}),
            ("load", {"prefetch": 0}), ("optimizer", {"momentum": 1}), ("backend", {"device": "tpu"}),
            ("submission", {"ruleset": "5.0.0"}), ("results", {"progress_seconds": 0}), ("watchdog", {"step_seconds": 0}),
        ]
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "config.json"
            for key, value in changes:
                with self.subTest(key=key, value=value):
                    document = copy.deepcopy(base)
                    document[key] = value
                    path.write_text(json.dumps(document))
                    done = call("validate", path)
                    self.assertEqual(done.returncode, 2, done.stdout)
                    self.assertIn(f"/{key}", done.stderr)
                    self.assertFalse(self.validator.is_valid(document))
            path.write_text(json.dumps(base))
            self.assertEqual(call("validate", path).returncode, 0)
            self.assertTrue(self.validator.is_valid(base))
            for key, value in [("load", {"threads": 3}), ("load", {"threads": "auto"}), ("stage", {"target": ["a", "b"]}), ("stage", {"target": ""}),
                               ("stage", {"verify": "readback"}), ("stage", {"verify": True})]:
                with self.subTest(key=key, value=value):
                    document = {**base, key: value}
                    path.write_text(json.dumps(document))
                    self.assertEqual(call("validate", path).returncode, 0)
                    self.assertTrue(self.validator.is_valid(document))

    def test_the_manual_page_is_the_generated_one(self):
        self.assertEqual((ROOT / "docs/config.md").read_text(), call("schema", "--markdown").stdout,
                         "docs/config.md is stale: trainmark schema --markdown > docs/config.md")


if __name__ == "__main__":
    unittest.main(verbosity=2)
