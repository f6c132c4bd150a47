#!/usr/bin/env python3
"""Ablations on the device double: the variants that a CPU does not have, and what is said where steps cannot be captured."""
import json
import unittest

from test_situations import OnDevice


class Ablation(OnDevice):
    """The least that a device can be given: the double computes in loops, and an ablation has some two hundred steps."""
    samples = 8

    def ablate(self, precision: str, double: str = "devices=1") -> dict:
        config = self.write_config(backend={"device": "cuda"}, load={"prefetch": 1}, train={"precision": precision, "global_batch": 1})
        done = self.trainmark("ablate", str(config), "--rounds", "2", "--steps", "1", "--json", "--quiet", env={"TRAINMARK_DOUBLE": double})
        self.assertEqual(done.code, 0, done.output)
        self.assertNotIn("device double:", done.output)
        found = json.loads(done.output[done.output.index("{"):])
        self.meanings = {variant["name"]: variant["meaning"] for variant in found["variants"]}
        self.assertGreaterEqual(set(self.meanings), {"full", "no_input", "resident", "bare", "unfused"})
        self.assertGreater(found["efficiency"]["mean"], 0)
        lost = sum(loss["mean"] for loss in found["losses_s"].values())
        self.assertAlmostEqual(lost, found["full_step_s"]["mean"] - found["compute_only_step_s"]["mean"], delta=1e-6)
        return found

    def assert_in_place_of(self, own: str, *others: str):
        self.assertEqual({name: self.meanings[name] for name in ("fp32", "tf32", "bf16") if name in self.meanings},
                         {other: f"{other} in place of {own}" for other in others})

    def test_a_captured_step_is_compared_with_a_streamed_one_and_fp32_with_tf32_and_bf16(self):
        self.assertEqual(self.ablate("fp32")["left_out"], [])
        self.assertEqual(self.meanings["uncaptured"], "operations launched one by one, no captured step")
        self.assert_in_place_of("fp32", "tf32", "bf16")

    def test_where_the_full_step_is_not_captured_none_is_and_tf32_is_compared_with_fp32(self):
        left_out = "\n".join(self.ablate("tf32", "devices=1,failing_capture=0")["left_out"])
        self.assertNotIn("uncaptured", self.meanings)
        self.assertRegex(left_out, "^uncaptured: no step could be captured: .*cudaErrorStreamCaptureInvalidated")
        self.assert_in_place_of("tf32", "fp32", "bf16")

    def test_where_a_variants_step_is_not_captured_all_are_streamed_and_it_is_said(self):
        left_out = "\n".join(self.ablate("bf16", "devices=1,failing_capture=3")["left_out"])
        self.assertNotIn("uncaptured", self.meanings)
        self.assertRegex(left_out, "^uncaptured: a variant's step could not be captured, and all rows are of streamed steps")
        self.assert_in_place_of("bf16", "fp32", "tf32")


if __name__ == "__main__":
    unittest.main(verbosity=2)
