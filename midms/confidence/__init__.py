"""How far a match is to be believed. Importing this imports none of the estimators."""

from midms.registry import Registry

CONFIDENCES = Registry("confidence", "midms.confidences")
CONFIDENCES.row("cycle", "midms.confidence.cycle:Cycle", "forward-backward consistency (arXiv:2209.11047, sec. 3.4)")
CONFIDENCES.row(
    "cycle-released",
    "midms.confidence.cycle_released:CycleReleased",
    "what the released MIDMs checks instead: a prior on displacement, not forward-backward consistency",
)
CONFIDENCES.row("always", "midms.confidence.always:Always", "trust every cell")
CONFIDENCES.row("calibrated", "midms.confidence.calibrated:Calibrated", "learnt probability that the match is right")
