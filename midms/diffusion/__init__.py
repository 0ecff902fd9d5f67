"""Samplers cut at x0, denoisers that give x0, injections, autoencoders. Importing this imports none of them."""

from midms.registry import Registry

SAMPLERS = Registry("sampler", "midms.samplers", adapter="midms.diffusion.levels:on_levels")
SAMPLERS.row("ddim", "midms.diffusion.solvers.ddim:DDIM", "implicit models, deterministic or not (arXiv:2010.02502)")
SAMPLERS.row("ddpm", "midms.diffusion.solvers.ddpm:DDPM", "ancestral sampling (arXiv:2006.11239)")
SAMPLERS.row("plms", "midms.diffusion.solvers.plms:PLMS", "pseudo linear multistep, order 2 (arXiv:2202.09778)")
SAMPLERS.row("euler", "midms.diffusion.solvers.euler:Euler", "Euler's method in noise, order 1 (arXiv:2206.00364)")
SAMPLERS.row(
    "euler-ancestral",
    "midms.diffusion.solvers.euler_ancestral:EulerAncestral",
    "an Euler step too far, then noise, order 1 (arXiv:2011.13456)",
)
SAMPLERS.row("heun", "midms.diffusion.solvers.heun:Heun", "EDM's, two calls a level, order 2 (arXiv:2206.00364)")
SAMPLERS.row(
    "dpmpp-2m", "midms.diffusion.solvers.dpmpp_2m:DPMPP2M", "DPM-Solver++, two levels, order 2 (arXiv:2211.01095)"
)
SAMPLERS.row(
    "dpmpp-2m-sde",
    "midms.diffusion.solvers.dpmpp_2m_sde:DPMPP2MSDE",
    "SDE-DPM-Solver++, two levels (arXiv:2211.01095)",
)
SAMPLERS.row("unipc", "midms.diffusion.solvers.unipc:UniPC", "predictor and corrector for one call (arXiv:2302.04867)")
SAMPLERS.row(
    "lcm", "midms.diffusion.solvers.lcm:LCM", "latent consistency models, for distilled networks (arXiv:2310.04378)"
)
SAMPLERS.row(
    "flow-euler", "midms.diffusion.solvers.flow_euler:flow_euler", "rectified flow, order 1 (arXiv:2209.03003)"
)
SAMPLERS.row(
    "brownian-bridge",
    "midms.diffusion.solvers.brownian_bridge:brownian_bridge",
    "a bridge from the warp to the picture (BBDM, arXiv:2205.07680; EBDM, ECCV 2024)",
)
SAMPLERS.family(
    "diffusers",
    "<Scheduler>",
    "midms.diffusion.diffusers_schedulers:factory",
    "any scheduler of diffusers that goes from noise to x0, such as diffusers:DEISMultistepScheduler",
)

DENOISERS = Registry("denoiser", "midms.denoisers")
DENOISERS.row(
    "unconditional",
    "midms.diffusion.denoisers.unconditional:Unconditional",
    "MIDMs': sees the noisy latent alone",
)
DENOISERS.row("network", "midms.diffusion.denoisers.network:Network", "a network of your own, whatever it predicts")
DENOISERS.row(
    "bridge", "midms.diffusion.denoisers.bridge:Bridge", "x0 = warp + network(x, warp, condition, confidence)"
)
DENOISERS.row(
    "unet-condition",
    "midms.diffusion.denoisers.unet_condition:UNetCondition",
    "the U-Net of Stable Diffusion 1 and 2 and of SDXL (arXiv:2112.10752, arXiv:2307.01952)",
)
DENOISERS.row(
    "sd3", "midms.diffusion.denoisers.sd3:SD3", "the transformer of Stable Diffusion 3 and 3.5 (arXiv:2403.03206)"
)
DENOISERS.row("flux", "midms.diffusion.denoisers.flux:Flux", "the transformer of FLUX.1")

AUTOENCODERS = Registry("autoencoder", "midms.autoencoders")
AUTOENCODERS.row(
    "patchified", "midms.diffusion.autoencoders.patchified:Patchified", "small, for 64 to 128 pixels, no quantiser"
)
AUTOENCODERS.row(
    "folded", "midms.diffusion.autoencoders.folded:Folded", "a cell's pixels as its channels; nothing is learnt"
)
AUTOENCODERS.row(
    "vq", "midms.diffusion.autoencoders.vq:VQ", "diffusers' VQModel, as latent diffusion uses it (arXiv:2112.10752)"
)
AUTOENCODERS.row(
    "kl",
    "midms.diffusion.autoencoders.kl:KL",
    "diffusers' AutoencoderKL, as latent diffusion uses it (arXiv:2112.10752)",
)

INJECTIONS = Registry("injection", "midms.injections")
INJECTIONS.row(
    "cross-attention",
    "midms.diffusion.injections.cross_attention:CrossAttention",
    "self-attention over the exemplar's keys and values (arXiv:2311.03335)",
)
INJECTIONS.row(
    "ctrlx",
    "midms.diffusion.injections.ctrlx:CtrlX",
    "the exemplar's mean and deviation through the match, the condition's structure (Ctrl-X, arXiv:2406.07540)",
)
INJECTIONS.row(
    "graft",
    "midms.diffusion.injections.graft:Graft",
    "trusted tokens of the exemplar beside the picture's own, for transformers (FreeGraftor, arXiv:2504.15958)",
)
INJECTIONS.row(
    "control",
    "midms.diffusion.injections.control:Control",
    "a ControlNet or T2I-Adapter of diffusers keeps the condition's structure, beside another injection or none"
    " (arXiv:2302.05543, arXiv:2302.08453)",
)
INJECTIONS.row(
    "ip-adapter",
    "midms.diffusion.injections.ip_adapter:IPAdapter",
    "the exemplar as words of the prompt, a baseline without a match (IP-Adapter, arXiv:2308.06721)",
)
