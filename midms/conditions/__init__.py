"""Conditions: from what a person draws or photographs to a map in [0, 1]."""

from __future__ import annotations

from midms.registry import Registry

CONDITIONS = Registry("condition", "midms.conditions")
CONDITIONS.row("sketch", "midms.conditions.sketch:Sketch", "a drawing as it comes, to strokes and the distance to them")
CONDITIONS.row("edges", "midms.conditions.edges:Edges", "colour edges of a photo (Sobel) and the distance to them")
CONDITIONS.row("photo", "midms.conditions.photo:Photo", "the picture as it is, for features `diffusion` and the like")
CONDITIONS.row(
    "celebahq-edge",
    "midms.conditions.celebahq_edge:CelebaHQEdge",
    "edges of 13 face parts, the distance to each and the photo's background edges: 15 channels",
)
CONDITIONS.row(
    "deepfashion-pose",
    "midms.conditions.deepfashion_pose:DeepFashionPose",
    "OpenPose skeleton in colours and the distance to each limb: 20 channels",
)
CONDITIONS.row(
    "ade20k-segmentation",
    "midms.conditions.ade20k_segmentation:ADE20KSegmentation",
    "one-hot labels of ADE20K, the last for what is unknown: 151 channels",
)
CONDITIONS.family(
    "controlnet-aux",
    "<Detector>",
    "midms.conditions.detectors:detector_factory",
    "what a detector of controlnet_aux draws of a photo, such as controlnet-aux:CannyDetector, LineartDetector,"
    " HEDdetector, OpenposeDetector, MidasDetector, SamDetector",
)
