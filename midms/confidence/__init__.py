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
CONFIDENCES.row("entropy", "midms.confidence.entropy:Entropy", "how spread out a match is (Shannon 1948)")
CONFIDENCES.row("peak", "midms.confidence.peak:Peak", "the best counterpart's probability (arXiv:2104.00680, sec. 3.3)")
CONFIDENCES.row(
    "margin", "midms.confidence.margin:Margin", "the best similarity less its best rival's (Lowe 2004, sec. 7.1)"
)
CONFIDENCES.row("mutual", "midms.confidence.mutual:Mutual", "each other's best (Rocco et al. 2018, arXiv:1810.10510)")
CONFIDENCES.row(
    "similarity",
    "midms.confidence.similarity:Similarity",
    "a floor under the cosine of what is matched (FreeGraftor, arXiv:2504.15958)",
)
CONFIDENCES.row("mass", "midms.confidence.mass:Mass", "how much unbalanced transport sends (UNITE, arXiv:2106.10482)")
CONFIDENCES.row(
    "semantic", "midms.confidence.semantic:LabelAgreement", "the exemplar has the cell's label (arXiv:1703.07511)"
)
CONFIDENCES.row("product", "midms.confidence.product:Product", "what all of several trust (Hinton 2002)")
