#!/usr/bin/env python3
"""Three nodes beside each other: what a probe tells of each."""
import json

from slurm_case import BINARY, SlurmCase, main

THREE = ("-N", "3", "--ntasks-per-node", "1", "--mpi=pmix")


class Nodes(SlurmCase):
    def told(self, *command) -> dict:
        done = self.srun(BINARY, *command, "--json", "--quiet", options=THREE)
        self.assertEqual(done.code, 0, done.output)
        return json.loads(done.output[done.output.index("{"):])

    def test_a_probe_tells_of_each_rank_and_node(self):
        found = self.told("probe", self.write_config(data={"train_samples": 60}, train={"global_batch": 6}), "--seconds", "6")
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


if __name__ == "__main__":
    main(nodes=3)
