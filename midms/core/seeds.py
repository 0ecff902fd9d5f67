"""Random numbers that follow from a seed and from what they are for, never from what was drawn before."""

from __future__ import annotations

import hashlib

import torch


def seeded(seed: int, purpose: str, which: int | str) -> torch.Generator:
    """A generator of its own for everything that is drawn: of which run, what for, and which one of these."""
    digest = hashlib.sha256(f"{seed} {purpose} {which}".encode("utf-8", "surrogateescape")).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
