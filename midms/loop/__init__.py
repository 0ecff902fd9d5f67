"""The loop that interleaves matching and denoising, and the policy it follows."""

from midms.loop.interleave import POLICY, MatchingInterleavedDiffusion
from midms.loop.policy import Policy

__all__ = ["POLICY", "MatchingInterleavedDiffusion", "Policy"]
