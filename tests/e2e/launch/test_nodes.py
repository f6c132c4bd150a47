#!/usr/bin/env python3
"""Two nodes, played on one machine: each daemon of mpirun gets a host name, shared memory and a disk of its own. Shows what
staging does where there is more than one node, and that every sample is trained on once an epoch all the same."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import unittest

from harness import OPEN_MPI, ROOT, EndToEnd

AGENT = ROOT / "tests/support/node_agent.sh"
SKIPPED = 77  # CTest's SKIP_RETURN_CODE


def obstacle() -> str:
    """Why nodes cannot be played here; empty if they can."""
    if not OPEN_MPI:
        return "the daemons of this MPI are not started through an agent (Open MPI's are)"
    tried = subprocess.run(["unshare", "--uts", "--ipc", "--mount", "--propagation", "private", "sh", "-c",
                            "hostname node-a && mount -t tmpfs tmpfs /dev/shm"], capture_output=True, text=True)
    return "" if tried.returncode == 0 else f"namespaces and mounts are not allowed here: {tried.stderr.strip()}"


class TwoNodes(EndToEnd):
    def setUp(self):
        super().setUp()
        self.disks = self.folder / "disks"
        self.addCleanup(self.end_daemons)

    def run_on_nodes(self, hosts: str, *, expect: int = 0, map_by: str = "slot", **changes):
        ranks = sum(int(host.split(":")[1]) for host in hosts.split(","))
        changes.setdefault("stage", {"strategy": "shard", "target": str(self.disks / "local/data")})
        return self.run_small(ranks=ranks, expect=expect, env={"NODE_DISKS": str(self.disks)},
                              launch=["-mca", "plm_rsh_agent", str(AGENT), "-host", hosts, "--map-by", map_by], **changes)

    def end_daemons(self):
        """They end with mpirun; one that does not is a failure, and must not stay for ever."""
        deadline = time.time() + 20
        while left := self.processes_with(f"NODE_DISKS={self.folder}/"):
            if time.time() > deadline:
                for pid in left:
                    os.kill(pid, 9)
                self.fail(f"processes {left} outlived mpirun")
            time.sleep(0.1)

    @staticmethod
    def processes_with(setting: str) -> list:
        found = []
        for environ in pathlib.Path("/proc").glob("[0-9]*/environ"):
            try:
                if any(variable.startswith(setting.encode()) for variable in environ.read_bytes().split(b"\0")):
                    found.append(int(environ.parent.name))
            except OSError:
                continue
        return found

    def files_of(self, node: str, split: str) -> set:
        return {path.name for path in (self.disks / node / "data" / split).glob("*.hdf5")}

    # Weights stand still at this rate, so the mean loss of an epoch tells whether each sample was in it exactly once.
    still = {"schedule": {"base_rate": 1e-12, "peak_rate": 1e-12}, "data": {"validation_samples": 16}}

    def test_shards_are_staged_and_trained_on_once_an_epoch_however_ranks_are_placed(self):
        single = self.run_small(**self.still, results={"folder": str(self.folder / "single")})
        single.results = self.folder / "single"
        expected = single.table("epochs.csv")[0]
        for map_by, hosts_of_ranks in (("slot", ["node-a", "node-a", "node-b", "node-b"]),
                                       ("node", ["node-a", "node-b", "node-a", "node-b"])):
            with self.subTest(map_by=map_by):
                results = self.folder / map_by
                self.disks = self.folder / f"disks-{map_by}"
                run = self.run_on_nodes("node-a:2,node-b:2", map_by=map_by, **self.still, results={"folder": str(results)})
                run.results = results
                self.assertEqual(run.json()["exit_code"], 0)
                self.assertEqual([row["host"] for row in run.table("ranks.csv")], hosts_of_ranks)
                for split, files in (("train", 8), ("validation", 2)):
                    parts = [self.files_of(node, split) for node in ("node-a", "node-b")]
                    self.assertEqual([len(part) for part in parts], [files / 2, files / 2], split)
                    self.assertEqual(len(parts[0] | parts[1]), files, split)
                    nodes = run.json("staging.json")["splits"][split]["nodes"]
                    self.assertEqual([(node["host"], node["files_copied"]) for node in nodes],
                                     [("node-a", files / 2), ("node-b", files / 2)])
                epochs = run.table("epochs.csv")
                self.assertEqual(len(epochs), 2)
                for epoch in epochs:
                    for figure in ("train_loss", "eval_metric"):
                        self.assertAlmostEqual(float(epoch[figure]) / float(expected[figure]), 1.0, delta=1e-6, msg=figure)
                losses = [row["loss"] for row in run.table("steps.csv")]
                self.assertNotEqual(losses[:8], losses[8:], "each epoch has an order of its own")

    def screen(self, slow_host: str, *options, expect: int) -> dict:
        config = self.write_config(train={"global_batch": 12}, backend={"threads": 2})
        done = self.trainmark("screen", str(config), "--json", "--quiet", "--rounds", "3", "--steps", "2", *options, ranks=6,
                              launch=["-mca", "plm_rsh_agent", str(AGENT), "-host", "node-a:2,node-b:2,node-c:2"],
                              env={"NODE_DISKS": str(self.disks), "OMP_NUM_THREADS": "2", "SLOW_HOST": slow_host,
                                   "LD_PRELOAD": os.environ["TRAINMARK_FAILING_CALLS"]})
        self.assertEqual(done.code, expect, done.output)
        return json.loads(done.output[done.output.index("{"):done.output.rindex("}") + 1])

    def test_a_slow_node_is_found_at_the_work_that_all_do(self):
        found = self.screen("node-b", "--strict", expect=6)
        self.assertFalse(found["all_alike"])
        self.assertEqual((found["kind"], found["local_batch_samples"], found["nodes_are_judged"]), ("trainmark screen", 2, True))
        slowest, *others = found["nodes"]
        self.assertEqual((slowest["host"], slowest["slow"]), ("node-b", True), found)
        self.assertEqual({node["host"] for node in others}, {"node-a", "node-c"})
        self.assertEqual(sorted(rank["rank"] for node in found["nodes"] for rank in node["ranks"]), [0, 1, 2, 3, 4, 5])
        for rank in slowest["ranks"]:
            self.assertGreater(rank["step_s"], max(each["step_s"] for node in others for each in node["ranks"]), "each by itself")
        self.assertGreater(slowest["excess"], 0.0)
        even = self.screen("", expect=0)
        self.assertEqual(len(even["nodes"]), 3)
        self.assertEqual(even["node_median_step_s"], sorted(node["step_s"] for node in even["nodes"])[1])
        self.assertFalse((self.folder / "results").exists(), "nothing is kept")

    def test_replicas_are_staged_whole_on_each_node(self):
        self.run_on_nodes("node-a:1,node-b:1", stage={"strategy": "replicate", "target": str(self.disks / "local/data")})
        for node in ("node-a", "node-b"):
            self.assertEqual((len(self.files_of(node, "train")), len(self.files_of(node, "validation"))), (8, 3))

    def test_the_nodes_of_a_group_hold_one_part_and_train_on_all_of_it(self):
        single = self.run_small(**self.still, results={"folder": str(self.folder / "single")})
        single.results = self.folder / "single"
        nodes = ["node-a", "node-b", "node-c", "node-d"]
        run = self.run_on_nodes(",".join(f"{node}:1" for node in nodes), **self.still,
                                stage={"strategy": "group", "group": 2, "target": str(self.disks / "local/data")})
        parts = [self.files_of(node, "train") for node in nodes]
        self.assertEqual((parts[0], parts[2]), (parts[1], parts[3]))
        self.assertEqual(([len(part) for part in parts], len(parts[0] | parts[2])), ([4, 4, 4, 4], 8))
        for one, four in zip(single.table("epochs.csv"), run.table("epochs.csv"), strict=True):
            for figure in ("train_loss", "eval_metric"):
                self.assertAlmostEqual(float(four[figure]) / float(one[figure]), 1.0, delta=1e-6, msg=figure)

    def test_nodes_that_want_the_same_read_each_byte_once_between_them(self):
        sizes = {split: sum(path.stat().st_size for path in (self.data / split).glob("*.hdf5")) for split in ("train", "validation")}
        losses = {}
        for transport, times in (("auto", 1), ("copy", 2)):
            with self.subTest(transport):
                self.disks = self.folder / f"disks-{transport}"
                results = self.folder / transport
                run = self.run_on_nodes("node-a:2,node-b:2", results={"folder": str(results)}, stage={
                    "strategy": "replicate", "transport": transport, "target": str(self.disks / "local/data")})
                run.results = results
                for split, size in sizes.items():
                    nodes = run.json("staging.json")["splits"][split]["nodes"]
                    self.assertEqual(sum(node["source_read_bytes"] for node in nodes), times * size, split)
                    self.assertEqual([node["copied_bytes"] for node in nodes], [size, size], split)
                    for node in ("node-a", "node-b"):
                        for source in (self.data / split).glob("*.hdf5"):
                            copy = self.disks / node / "data" / split / source.name
                            self.assertEqual(copy.read_bytes(), source.read_bytes(), copy)
                            self.assertEqual(copy.stat().st_mtime_ns, source.stat().st_mtime_ns)
                losses[transport] = [row["loss"] for row in run.table("steps.csv")]
        self.assertEqual(losses["auto"], losses["copy"])

    def test_one_node_whose_folder_cannot_be_made_stops_an_exchange_with_its_reason(self):
        source = self.folder / "in folders"
        shutil.copytree(self.data, source)
        (source / "train/a").mkdir()
        for path in (source / "train").glob("*.hdf5"):
            path.rename(source / "train/a" / path.name)
        blocked = self.disks / "node-b/data/train"
        blocked.mkdir(parents=True)
        (blocked / "a").write_text("in the way")
        run = self.run_on_nodes("node-a:1,node-b:1", expect=3, watchdog={"stage_seconds": 30},
                                data={"train": str(source / "train"), "validation": str(source / "validation")},
                                stage={"strategy": "replicate", "target": str(self.disks / "local/data")})
        self.assertIn("node node-b", run.output)
        self.assertEqual(run.output.count("trainmark: error"), 1, run.output)

    def test_nodes_that_see_different_versions_of_a_source_are_told_before_anything_is_copied(self):
        for node in ("node-a", "node-b"):
            shutil.copytree(self.data, self.disks / node / "source")  # keeps times: only contents tell versions apart
        changed = sorted((self.disks / "node-b/source/train").glob("*.hdf5"))[3]
        times = changed.stat()
        content = bytearray(changed.read_bytes())
        content[len(content) // 2] ^= 1
        changed.write_bytes(content)
        os.utime(changed, ns=(times.st_atime_ns, times.st_mtime_ns))
        source = self.disks / "local/source"
        def replicate(expect: int, **stage):
            return self.run_on_nodes("node-a:2,node-b:2", expect=expect, watchdog={"stage_seconds": 30},
                                     data={"train": str(source / "train"), "validation": str(source / "validation")},
                                     stage={"strategy": "replicate", "target": str(self.disks / "local/data"), **stage})
        run = replicate(3)
        self.assertIn(f"{source / 'train' / changed.name}: nodes read different contents", run.output)
        self.assertEqual(run.output.count("trainmark: error"), 1, run.output)
        self.assertEqual([path for path in self.disks.rglob("*.hdf5") if "source" not in path.parts], [])
        changed.write_bytes((self.disks / "node-a/source/train" / changed.name).read_bytes())
        os.utime(changed, ns=(times.st_atime_ns, times.st_mtime_ns))
        replicate(0)

    def test_what_a_command_stages_a_run_finds(self):
        stage = {"strategy": "group", "group": 1, "target": str(self.disks / "local/data")}
        config = str(self.write_config(stage=stage, **self.still))
        def on_nodes(*options, expect=0):
            done = self.trainmark("stage", config, *options, ranks=2, env={"NODE_DISKS": str(self.disks)},
                                  launch=["-mca", "plm_rsh_agent", str(AGENT), "-host", "node-a:1,node-b:1"])
            self.assertEqual(done.code, expect, done.output)
            return done.output
        self.assertIn("node-b           0 files there and right, 4 missing or not right", on_nodes("--verify", expect=3))
        self.assertIn("node-a           4 files copied", on_nodes())
        on_nodes("--verify")
        run = self.run_on_nodes("node-a:2,node-b:2", stage=stage, **self.still)
        nodes = run.json("staging.json")["splits"]["train"]["nodes"]
        self.assertEqual([(node["files_copied"], node["files_reused"]) for node in nodes], [(0, 4), (0, 4)])
        self.assertIn("removed 10 files", on_nodes("--clean"))
        self.assertEqual(list(self.disks.rglob("*.hdf5")), [])

    def test_each_nodes_seconds_are_of_its_own_work(self):
        stage = {"strategy": "replicate", "target": str(self.disks / "local/data"), "verify": False}
        self.run_on_nodes("node-b:1", stage=stage, results={"folder": str(self.folder / "first")})
        run = self.run_on_nodes("node-a:1,node-b:1", stage=stage)
        node_a, node_b = run.json("staging.json")["splits"]["train"]["nodes"]
        self.assertEqual((node_a["files_copied"], node_b["files_copied"]), (8, 0))
        self.assertLess(node_b["copy_s"], node_a["copy_s"] / 10, "who had nothing to copy waited, and did not work")

    def test_nodes_of_one_run_may_share_a_target(self):
        shared = self.folder / "shared"  # not a disk of the node's own
        run = self.run_on_nodes("node-a:1,node-b:1", stage={"strategy": "replicate", "target": str(shared)})
        self.assertEqual(run.json()["exit_code"], 0)
        self.assertEqual(len(list((shared / "train").glob("*.hdf5"))), 8)

    def test_containers_hold_what_files_do_on_each_node_whatever_the_transport(self):
        def hashes(name: str, **stage) -> list:
            self.disks = self.folder / f"disks-{name}"
            results = self.folder / name
            run = self.run_on_nodes("node-a:2,node-b:2", results={"folder": str(results)},
                                    stage={"target": str(self.disks / "local/data"), **stage})
            run.results = results
            nodes = run.json("staging.json")["splits"]["train"]["nodes"]
            for node in nodes:
                self.assertEqual(node["files_packed"], node["files_copied"] if stage.get("form") else 0)
                self.assertEqual(len(self.files_of(node["host"], "train")), 0 if stage.get("form") else node["files_copied"])
            return [row["parameter_hash"] for row in run.table("epochs.csv")]
        for strategy in ("replicate", "shard"):
            files = hashes(f"{strategy}-files", strategy=strategy)
            self.assertEqual(len(files), 2)
            for transport in ("auto", "copy") if strategy == "replicate" else ("auto",):
                packed = hashes(f"{strategy}-{transport}", strategy=strategy, form="packed", transport=transport)
                self.assertEqual(packed, files, (strategy, transport))

    def test_nodes_that_share_a_target_cannot_pack_into_it(self):
        shared = str(self.folder / "shared")
        run = self.run_on_nodes("node-a:1,node-b:1", expect=2, stage={"strategy": "replicate", "form": "packed", "target": shared})
        self.assertIn('/stage/form: "packed" needs a target of each node\'s own, and nodes share ' + shared, run.output)
        self.assertEqual(run.output.count("trainmark: error"), 1, run.output)

    def test_training_shards_that_cannot_be_equal_are_refused_with_remedies(self):
        run = self.run_on_nodes("node-a:1,node-b:1", expect=3, data={"train_samples": 24})
        for words in ("24 samples in 3 files do not part equally into 2", "replicate"):
            self.assertIn(words, run.output)
        self.assertEqual(run.output.count("trainmark: error"), 1, run.output)

    def test_an_evaluation_of_unequal_shards_is_the_mean_over_every_sample(self):
        still = {"schedule": self.still["schedule"]}  # the validation split: 8, 8 and 4 samples
        single = self.run_small(**still, results={"folder": str(self.folder / "single")})
        single.results = self.folder / "single"
        run = self.run_on_nodes("node-a:1,node-b:1", **still)
        self.assertEqual(sorted(len(self.files_of(node, "validation")) for node in ("node-a", "node-b")), [1, 2])
        for one, two in zip(single.table("epochs.csv"), run.table("epochs.csv"), strict=True):
            self.assertAlmostEqual(float(two["eval_metric"]) / float(one["eval_metric"]), 1.0, delta=1e-6)

    def test_nodes_with_different_numbers_of_ranks_cannot_shard(self):
        run = self.run_on_nodes("node-a:3,node-b:1", expect=4, **self.still)
        self.assertIn("nodes have different numbers of ranks", run.output)
        self.assertEqual(run.output.count("trainmark: error"), 1, run.output)

    def test_one_node_with_too_little_space_stops_all_before_the_first_byte(self):
        full = self.disks / "node-b"
        full.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=9m", "tmpfs", str(full)], check=True)
        self.addCleanup(subprocess.run, ["umount", str(full)], check=True)
        # Half of either split would fit: 8 and 2 MiB.
        run = self.run_on_nodes("node-a:2,node-b:2", expect=3, **self.still)
        for words in ("node node-b: ", "free, staging needs 10.0 MiB", "nothing was copied"):
            self.assertIn(words, run.output)
        self.assertEqual(list(self.disks.rglob("*.hdf5")), [])

    def test_one_node_with_too_little_space_sends_all_to_the_next_target(self):
        full = self.disks / "node-b"
        full.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=9m", "tmpfs", str(full)], check=True)
        self.addCleanup(subprocess.run, ["umount", str(full)], check=True)
        run = self.run_on_nodes("node-a:2,node-b:2", **self.still,  # each node has a /dev/shm of its own
                                stage={"strategy": "shard", "target": [str(self.disks / "local/data"), "/dev/shm/tm"]})
        told = run.json("staging.json")
        self.assertEqual((told["target"], told["inside_the_clock"]), ("/dev/shm/tm", True))
        self.assertIn("not so in node node-b: ", told["target_why"])
        self.assertEqual([(node["host"], node["files_copied"]) for node in told["splits"]["train"]["nodes"]],
                         [("node-a", 4), ("node-b", 4)])
        self.assertEqual(list(self.disks.rglob("*.hdf5")), [])


if __name__ == "__main__":
    if reason := obstacle():
        print(f"skipped: {reason}")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
