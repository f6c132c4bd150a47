#!/usr/bin/env python3
"""Time lines of a run's ranks: what they hold agrees with the tables of the run, and a run that leaves none is the same run."""
import json
import unittest

from harness import EndToEnd

PHASES, START_UP, STEPS, INPUT, COMPUTE, COMMUNICATION = range(1, 7)
TERMS = ["exposed_input", "exposed_upload", "compute", "exposed_all_reduce", "host"]
ROUNDING_US = 0.01


# Trace Event Format (its document at chromium.org): what each phase of an event must have beside name, ph, pid and tid.
METADATA = {"process_name": ("name", str), "process_sort_index": ("sort_index", int), "thread_name": ("name", str),
            "thread_sort_index": ("sort_index", int)}


def strictly_read(text: str) -> dict:
    """JSON as the standard has it: no NaN, no key twice."""
    def once(pairs):
        assert len(dict(pairs)) == len(pairs), f"a key twice: {pairs}"
        return dict(pairs)

    def no_number(word):
        raise ValueError(f"{word} is no JSON")
    return json.loads(text, object_pairs_hook=once, parse_constant=no_number)


def breaches(document: dict) -> list:
    """What a viewer would refuse, or draw wrongly."""
    found = [] if document.get("displayTimeUnit") in ("ms", "ns") else ["displayTimeUnit"]
    named, used, spans, counters = set(), set(), {}, {}

    def number(value) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool)

    for event in document["traceEvents"]:
        thread = event.get("pid"), event.get("tid")
        phase = event.get("ph")
        if not (isinstance(event.get("name"), str) and event["name"] and all(type(each) is int for each in thread)):
            found.append(f"name, pid or tid: {event}")
        if phase == "M":
            key, kind = METADATA.get(event["name"], ("", type(None)))
            if set(event["args"]) != {key} or type(event["args"][key]) is not kind:
                found.append(f"metadata: {event}")
            named.add((event["name"], event["pid"] if event["name"].startswith("process") else thread))
            continue
        used.add(thread)
        if not number(event.get("ts")) or event["ts"] < 0:
            found.append(f"ts: {event}")
            continue
        if phase == "X":
            if not number(event.get("dur")) or event["dur"] < 0:
                found.append(f"dur: {event}")
                continue
            begin = round(event["ts"] * 1000)  # both have three digits behind the point: nanoseconds
            spans.setdefault(thread, []).append((begin, -round(event["dur"] * 1000), event["name"]))
        elif phase == "C":
            if not event["args"] or not all(number(value) for value in event["args"].values()):
                found.append(f"counter: {event}")
            if counters.setdefault((event["pid"], event["name"]), -1) > event["ts"]:
                found.append(f"a counter goes back: {event}")
            counters[event["pid"], event["name"]] = event["ts"]
        elif phase == "i":
            if event.get("s") not in ("g", "p", "t"):
                found.append(f"scope: {event}")
        else:
            found.append(f"unknown phase: {event}")
    for thread in used:
        for name in (("process_name", thread[0]), ("thread_name", thread)):
            if name not in named:
                found.append(f"no {name[0]} of {thread}")
    for thread, all_spans in spans.items():
        open_until = []
        for begin, negative, name in sorted(all_spans):
            end = begin - negative
            while open_until and open_until[-1][0] <= begin:
                open_until.pop()
            if open_until and end > open_until[-1][0]:
                found.append(f"{thread}: {name} at {begin} ns ends behind {open_until[-1][1]}, which it begins in")
            open_until.append((end, name))
    return found


class Trace(EndToEnd):
    def lines(self, run, rank: int) -> dict:
        document = strictly_read((run.folder / f"trace/rank-{rank:04}.json").read_text())
        self.assertEqual(breaches(document)[:5], [])
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

    def test_what_a_viewer_would_draw_wrongly_is_found(self):
        def event(**parts):
            return {"name": "a", "ph": "X", "ts": 1.0, "dur": 2.0, "pid": 0, "tid": 1, **parts}
        names = [{"name": "process_name", "ph": "M", "pid": 0, "tid": 1, "args": {"name": "rank 0"}},
                 {"name": "thread_name", "ph": "M", "pid": 0, "tid": 1, "args": {"name": "steps"}}]
        sound = [event(), event(name="b", ts=1.5, dur=0.5), event(name="c", ts=3.0), event(ph="C", args={"loss": 0.5}), event(ph="i", s="t")]
        self.assertEqual(breaches({"displayTimeUnit": "ms", "traceEvents": names + sound}), [])
        for wrong in (event(ts=-1.0), event(dur=-1.0), event(ts="1"), event(tid="1"), event(name=""), event(ph="B"), event(ph="i"),
                      event(name="b", ts=2.5), event(tid=2), event(ph="C", args={"loss": "high"})):
            self.assertNotEqual(breaches({"displayTimeUnit": "ms", "traceEvents": names + [event(), wrong]}), [], wrong)
        self.assertEqual(len(breaches({"traceEvents": [event()]})), 3, "no unit, no names")

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
