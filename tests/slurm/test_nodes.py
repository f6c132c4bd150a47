#!/usr/bin/env python3
"""Three nodes beside each other: what a probe and a screening tell of each, and that both name the one that is held back."""
import contextlib
import json
import os
import signal
import threading
import time

from slurm_case import BINARY, SlurmCase, main

THREE = ("-N", "3", "--ntasks-per-node", "1", "--mpi=pmix")


class Nodes(SlurmCase):
    @contextlib.contextmanager
    def held_back(self, task: int):
        """Meanwhile that task of whatever step is stopped nine tenths of the time."""
        over = threading.Event()

        def hold():
            while not over.is_set():
                for process in self.processes_of(task):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGSTOP)
                        time.sleep(0.09)
                        os.kill(process, signal.SIGCONT)
                over.wait(0.01)

        thread = threading.Thread(target=hold)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def told(self, *command) -> dict:
        done = self.srun(BINARY, *command, "--json", "--quiet", options=THREE)
        self.assertEqual(done.code, 0, done.output)
        return json.loads(done.output[done.output.index("{"):])

    def test_a_probe_tells_of_each_rank_and_node(self):
        found = self.told("probe", self.write_config(), "--seconds", "6")
        self.assertEqual((found["ranks"], found["nodes"], found["hosts"]), (3, 3, self.cluster.nodes))
        self.assertTrue(found["nodes_are_judged"])
        self.assertGreater(len(found["figures"]), 0)
        for figure in found["figures"]:
            self.assertEqual((len(figure["by_rank"]), len(figure["by_node"])), (3, 3), figure)
            self.assertEqual(figure["by_rank"], figure["by_node"], "one rank a node")
            for value in figure["by_node"]:
                self.assertGreaterEqual(value, figure["node"]["min"])
                self.assertLessEqual(value, figure["node"]["max"])
        self.assertEqual({message["ranks"] for message in found["all_reduce"]}, {3})

    def test_a_node_that_is_held_back_is_named(self):
        config = self.write_config()
        with self.held_back(2):
            probed = self.told("probe", config, "--seconds", "20")
            screened = self.told("screen", config, "--rounds", "3", "--steps", "20")
        slow = {each["host"]: each for each in probed["slow_nodes"] if each["figure"].startswith("matrix_")}
        self.assertIn("n2", slow, probed["slow_nodes"])
        self.assertEqual(slow["n2"]["node"], 2)
        self.assertGreater(slow["n2"]["excess_share"], 0.5)
        self.assertEqual((screened["nodes"][0]["host"], screened["nodes"][0]["slow"]), ("n2", True), screened["nodes"])


if __name__ == "__main__":
    main(nodes=3)
