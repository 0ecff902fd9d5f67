"""Metrics by name. Rows alone: what they name is in `midms.evaluation.metrics`, above, and imported when it is used."""

from midms.registry import Registry

METRICS = Registry("metric", "midms.metrics")
_HOME = "midms.evaluation.metrics"
METRICS.row(
    "frechet-distance",
    f"{_HOME}.frechet:FrechetDistance",
    "set with set: Gaussians of features; of Inception, it is FID (arXiv:1706.08500)",
)
METRICS.row(
    "kernel-distance",
    f"{_HOME}.kernel:KernelDistance",
    "set with set: squared MMD of features; of Inception, it is KID (arXiv:1801.01401)",
)
METRICS.row(
    "precision-recall",
    f"{_HOME}.precision_recall:PrecisionRecall",
    "set with set: how much of each lies within the other (arXiv:1904.06991)",
)
METRICS.row("swd", f"{_HOME}.swd:SlicedWasserstein", "set with set: patches of a pyramid, as PGGAN (arXiv:1710.10196)")
METRICS.row("psnr", f"{_HOME}.answers:PSNR", "result with answer: peak signal-to-noise ratio in dB")
METRICS.row("ssim", f"{_HOME}.answers:SSIM", "result with answer: structural similarity (Wang et al. 2004)")
METRICS.row(
    "perceptual-distance",
    f"{_HOME}.perceptual:PerceptualDistance",
    "result with answer: features of VGG16; with its weights, LPIPS (arXiv:1801.03924)",
)
METRICS.row(
    "style-relevance",
    f"{_HOME}.regions:StyleRelevance",
    "result with exemplar: colour and texture, region by region (arXiv:2004.05571)",
)
METRICS.row(
    "semantic-consistency",
    f"{_HOME}.regions:SemanticConsistency",
    "result with answer: deep features, region by region (arXiv:2004.05571)",
)
METRICS.row(
    "copied-content",
    f"{_HOME}.copied:CopiedContent",
    "result with exemplar: its structure where the condition has none",
)
METRICS.row("cycle", f"{_HOME}.correspondence:RoundTrip", "match: how far pixels are from themselves, there and back")
METRICS.row("epe", f"{_HOME}.correspondence:EPE", "match with exact flow or keypoints: error in pixels")
METRICS.row("pck", f"{_HOME}.correspondence:PCK", "match with exact flow or keypoints: share that is right")
METRICS.row("diversity", f"{_HOME}.diversity:Diversity", "results of one condition: how far they are from each other")
