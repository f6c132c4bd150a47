#!/usr/bin/env python3
"""Time lines of a run's ranks: what they hold agrees with the tables of the run, and a run that leaves none is the same run."""
import json
import unittest

from harness import EndToEnd

PHASES, START_UP, STEPS, INPUT, COMPUTE, COMMUNICATION = range(1, 7)
TERMS = ["exposed_input", "exposed_upload", "compute", "exposed_all_reduce", "host"]
ROUNDING_US = 0.01


class Trace(EndToEnd):
    def lines(self, run, rank: int) -> dict:
        document = json.loads((run.folder / f"trace/rank-{rank:04}.json").read_text())
        self.assertEqual((document["otherData"]["kind"], document["otherData"]["rank"]), ("trainmark trace", rank))
        tracks = {track: [] for track in range(1, 7)}
        for event in document["traceEvents"]:
            self.assertEqual(event["pid"], rank)
            if event["ph"] == "X":
                self.assertGreaterEqual(event["dur"], 0)
                tracks[event["tid"]].append(event)
        names = {event["tid"]: event["args"]["name"] for event in document["traceEvents"] if event["name"] == "thread_name"}
        self.assertEqual([names[tid].split(",")[0] for tid in range(1, 7)],
                         ["phases", "start-up", "steps", "input", "compute", "communication"])
        return {"about": document["otherData"], "events": document["traceEvents"], **tracks}

    def within(self, inner: list, outer: list):
        """Each of `inner` lies in one of `outer`."""
        for event in inner:
            self.assertTrue(any(each["ts"] - ROUNDING_US <= event["ts"] and
                                event["ts"] + event["dur"] <= each["ts"] + each["dur"] + ROUNDING_US for each in outer), event)

    def test_ranks_leave_lines_that_agree_with_the_tables(self):
        for ranks in (0, 2):
            run = self.run_small(ranks=ranks, options=["--trace", "--measure-nodes"], results={"folder": str(self.folder / f"results{ranks}")},
                                 env={"OMP_NUM_THREADS": "1"})
            run.results = self.folder / f"results{ranks}"
            self.assertIn("time lines of ", run.output)
            table = run.table("steps.csv")
            for rank in range(max(1, ranks)):
                found = self.lines(run, rank)
                steps = [event for event in found[STEPS] if event["cat"] == "step"]
                terms = [event for event in found[STEPS] if event["cat"] == "term"]
                self.assertEqual([event["args"]["step"] for event in steps], list(range(1, len(table) + 1)))
                self.assertEqual([event["name"] for event in terms], TERMS * len(steps))
                for at, step in enumerate(steps):
                    mine = terms[5 * at:5 * at + 5]
                    self.within(mine, [step])
                    self.assertAlmostEqual(sum(term["dur"] for term in mine), step["dur"], delta=5 * ROUNDING_US)
                    if rank > 0:
                        continue
                    self.assertAlmostEqual(step["dur"] * 1e-6, float(table[at]["step_s"]), delta=2e-6)
                    for term in mine:
                        self.assertAlmostEqual(term["dur"] * 1e-6, float(table[at][term["name"] + "_s"]), delta=2e-6)
                # Every launch has its name, once a step.
                launches = [event for event in found[COMPUTE] + found[COMMUNICATION] if event["cat"] not in ("step", "exposed_all_reduce")]
                nodes = {(row["node"], row["op"]) for row in run.table("nodes.csv")}
                self.assertEqual({(event["name"], event["cat"]) for event in launches}, nodes)
                self.assertEqual(len(launches), len(nodes) * len(steps))
                self.assertEqual({event["cat"] for event in found[COMMUNICATION]}, {"AllReduce"})
                buckets = {event["name"] for event in found[COMMUNICATION]}
                self.assertLessEqual({event["name"].removeprefix("wait for ") for event in found[COMPUTE] if event["cat"] == "exposed_all_reduce"}, buckets)
                for track in (INPUT, COMPUTE, COMMUNICATION):
                    self.within(found[track], steps)
                self.within([e for e in found[COMPUTE] if e["cat"] != "step"], [e for e in found[COMPUTE] if e["cat"] == "step"])
                self.assertEqual([event["name"] for event in found[PHASES]], ["init", "run", "epoch 1", "eval 1", "epoch 2", "eval 2"])
                self.within(found[PHASES][2:], found[PHASES][1:2])
                self.within(steps, found[PHASES][2:])
                self.assertEqual(found[START_UP][0]["name"], "mpi")
                self.assertGreaterEqual({event["name"] for event in found[START_UP]}, {"dataset", "backend", "planning", "warm_up"})
                self.assertEqual((found["about"]["steps_traced"], found["about"]["steps_not_traced"]), (len(table), 0))
                start = next(event["time_ms"] for event in run.events() if event["key"] == "run_start")
                self.assertAlmostEqual(found["about"]["ts_0_unix_ms"] + found[PHASES][1]["ts"] * 1e-3, start, delta=1000)
            self.assertEqual(len(list((run.folder / "trace").iterdir())), max(1, ranks))
            self.assertEqual(run.json()["exit_code"], 0)

    def test_a_run_is_the_same_without_and_leaves_none_unasked(self):
        hashes = []
        for options in ([], ["--trace"]):
            folder = self.folder / f"results{len(options)}"
            run = self.run_small(ranks=2, options=options, results={"folder": str(folder)}, train={"gradient_accumulation_steps": 2})
            run.results = folder
            hashes.append([row["parameter_hash"] for row in run.table("epochs.csv")])
            self.assertEqual((run.folder / "trace").exists(), bool(options))
        self.assertEqual(hashes[0], hashes[1])

    def test_a_run_that_fails_in_training_leaves_what_it_has(self):
        run = self.run_small(expect=6, options=["--trace"], schedule={"base_rate": 1e30, "peak_rate": 1e30})
        found = self.lines(run, 0)
        self.assertGreater(len(found[STEPS]), 0)
        self.assertEqual(run.json()["status"], "diverged")

    def test_nothing_is_traced_where_nothing_is_trained(self):
        done = self.trainmark("run", str(self.write_config()), "--trace", "--dry-run")
        self.assertEqual(done.code, 2)
        self.assertIn("--trace", done.output)


if __name__ == "__main__":
    unittest.main(verbosity=2)
