"""What is trained, a stage a file: which parts of a pipeline, by which losses, with which figures on held-out pairs."""

from __future__ import annotations

from midms.registry import Registry

STAGES = Registry("stage", "midms.stages")
STAGES.row("autoencoder", "midms.training.stages.autoencoder:AutoencoderStage", "pictures to latents and back")
STAGES.row("matching", "midms.training.stages.matching:MatchingStage", "features, and the confidence in their match")
STAGES.row("diffusion", "midms.training.stages.diffusion:DiffusionStage", "a denoiser, on first warps or without them")
STAGES.row("warmup", "midms.training.stages.midm:WarmupStage", "MIDMs' matching network, first warps decoded")
STAGES.row("joint", "midms.training.stages.midm:JointStage", "MIDMs' matching network and denoiser, through the loop")
