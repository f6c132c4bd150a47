#!/usr/bin/env python3
"""Four nodes, of which pairs hold one half of the data each: what each has on its disk, and what the shared folder was asked for."""
from slurm_case import BINARY, SlurmCase, main

FOUR = ("-N", "4", "--ntasks-per-node", "1", "--mpi=pmix")


class Groups(SlurmCase):
    def test_nodes_in_a_row_hold_one_part_whichever_way_it_came(self):
        source = self.hashes(self.data)
        wanted = {key: value for key, value in source.items() if key[0] == "train" or key[1] < "packed_000002"}
        size = {split: sum(path.stat().st_size for path in (self.data / split).glob("*.hdf5") if (split, path.name) in wanted)
                for split in ("train", "validation")}
        for transport, readers in (("copy", 2), ("exchange", 1)):
            with self.subTest(transport):
                results = self.folder / transport
                stage = {"strategy": "group", "group": 2, "transport": transport, "target": str(self.target / transport)}
                config = self.write_config(train={"until": "epochs", "epochs": 1}, data={"validation_samples": 16}, stage=stage,
                                           results={"folder": str(results)})
                run = self.srun(BINARY, "run", config, options=FOUR)
                self.assertEqual(run.code, 0, run.output)
                run.results = results
                n0, n1, n2, n3 = (self.hashes(self.cluster.disk(node) / "set" / transport) for node in self.cluster.nodes)
                self.assertEqual((n0, n2), (n1, n3))
                self.assertEqual({**n0, **n2}, wanted)
                self.assertEqual((len(n0), len(n2)), (len(wanted) / 2, len(wanted) / 2))
                for split, told in run.json("staging.json")["splits"].items():
                    read = sum(node["source_read_bytes"] for node in told["nodes"])
                    self.assertEqual(read, readers * size[split], f"{split}: {told['nodes']}")


if __name__ == "__main__":
    main(nodes=4)
