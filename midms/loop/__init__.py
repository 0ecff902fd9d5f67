"""The method: a loop over a record of parts that interleaves matching and denoising, and the policy it follows."""

from midms.loop.interleave import interleave
from midms.loop.parts import PARTS, Parts
from midms.loop.policy import POLICY, Policy

__all__ = ["PARTS", "POLICY", "Parts", "Policy", "interleave"]
