"""What cells are compared by; each file is one extractor. Importing this imports none of them."""

from midms.registry import Registry

FEATURES = Registry("features", "midms.features")
FEATURES.row("midm", "midms.features.midm:MidmFeatures", "MIDMs' adaptive encoders (arXiv:2209.11047)")
FEATURES.row(
    "pyramid",
    "midms.features.pyramid:PyramidFeatures",
    "small shared pyramid with attention, trained on faces",
)
FEATURES.row("timm", "midms.features.timm_backbone:TimmFeatures", "any frozen timm backbone, on condition maps")
FEATURES.row(
    "labelled",
    "midms.features.labelled:LabelledFeatures",
    "other features with each cell's label, for the matcher semantic",
)
FEATURES.row("vgg", "midms.features.vgg:VggFeatures", "frozen VGG on condition maps (arXiv:1409.1556)")
FEATURES.row(
    "diffusion",
    "midms.features.diffusion:DiffusionFeatures",
    "DIFT: activations of a U-Net of diffusers (arXiv:2306.03881)",
)
FEATURES.row("fusion", "midms.features.fusion:FusionFeatures", "several side by side (arXiv:2305.15347)")
