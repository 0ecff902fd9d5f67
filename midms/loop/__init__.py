"""The method: a loop over a record of parts that interleaves matching and denoising, and the policy it follows."""

from midms.loop.hints import Anchor, ColourHint, Hints
from midms.loop.interleave import interleave
from midms.loop.parts import Moment, Parts
from midms.loop.policy import POLICY, Policy

__all__ = ["POLICY", "Anchor", "ColourHint", "Hints", "Moment", "Parts", "Policy", "interleave"]
