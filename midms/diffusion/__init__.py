"""Samplers cut at x0, denoisers that give x0, autoencoders. Importing this imports none of them."""

from midms.registry import Registry

SAMPLERS = Registry("sampler", "midms.samplers")
SAMPLERS.row("ddim", "midms.diffusion.ddim:DDIM", "implicit models, deterministic or not (arXiv:2010.02502)")
SAMPLERS.row("ddpm", "midms.diffusion.ddpm:DDPM", "ancestral sampling (arXiv:2006.11239)")

DENOISERS = Registry("denoiser", "midms.denoisers")
DENOISERS.row("unconditional", "midms.diffusion.denoisers:Unconditional", "the paper's: sees the noisy latent alone")
DENOISERS.row("bridge", "midms.diffusion.denoisers:Bridge", "x0 = warp + network(x, warp, condition, trust)")

AUTOENCODERS = Registry("autoencoder", "midms.autoencoders")
AUTOENCODERS.row("patchified", "midms.diffusion.patchified:Patchified", "small, for 64 to 128 pixels, no quantiser")
AUTOENCODERS.row("vq", "midms.diffusion.vq:VQ", "diffusers' VQModel, as latent diffusion uses it (arXiv:2112.10752)")
