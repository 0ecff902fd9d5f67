"""Calls of the network and memory of each preset around a text-to-image model, on tiny networks of its architecture.

    python -m benchmarks.text_to_image        # a few minutes of one core; --presets NAME ... measures these alone anew

Blocks, layers and steps are the preset's, widths are tiny, weights random. Calls do not depend on widths. Memory is
what tensors take at the peak, counted at two sizes of picture: the difference, for each cell of the latent more, is
what grows with the picture. Autoencoders are left out, which would hide it: pictures are made smaller instead. Leaves
`benchmarks/results/text-to-image.json`, and writes what stands between marks in `docs/diffusion_models.md`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from benchmarks.results import RESULTS, between, command, machine, table, write_json
from midms import Spec, build, create
from midms.compose.presets import PRESETS
from midms.core.errors import MidmsError
from midms.core.types import rendered
from midms.diffusion.injections.cross_attention import contrasted
from midms.loop.layers import MatchingOfLayers
from midms.loop.policy import Policy
from midms.pipeline.memory import LiveBytes
from midms.pipeline.pipeline import Pipeline

FILE = RESULTS / "text-to-image.json"
DOCS = Path(__file__).parents[2] / "docs" / "diffusion_models.md"
NAMES = ("sd-warp", "sd-crossattn", "sd-ctrlx", "sdxl-ctrlx", "flux-graft", "sd3-graft")
TINY: dict[str, dict[str, Any]] = {
    "unet-condition": {"attention_head_dim": 8, "norm_num_groups": 8, "cross_attention_dim": 32},
    "sd3": {"num_attention_heads": 2, "attention_head_dim": 16, "joint_attention_dim": 32}
    | {"caption_projection_dim": 32, "pooled_projection_dim": 32},
    "flux": {"num_attention_heads": 2, "attention_head_dim": 16, "joint_attention_dim": 32}
    | {"pooled_projection_dim": 32, "axes_dims_rope": (4, 6, 6)},
}
"""Of networks' settings, what says how wide they are."""
WIDTHS = (32, 64, 64, 64)
SMALL, LARGE = 192, 320
"""Pixels of pictures whose memory is compared."""
STEPS = 5
"""Of the preset's, evenly, when memory is counted, which does not rise with their number."""

HEADS, SIDE = 8, 45
"""Of the layer whose contrast is timed, and cells along a side of its grid."""


@dataclass(frozen=True)
class Smaller:
    """In the place of an autoencoder: means of 8 x 8 pixels.

    Args:
        channels: of latents.
    """

    channels: int
    stride: ClassVar[int] = 8

    def encode(self, image: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b c h w"]:
        """Pictures to latents."""
        return rendered(F.avg_pool2d(image, self.stride), self.channels)

    def decode(self, latent: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 Y X"]:
        """Latents to pictures."""
        return F.interpolate(latent[:, :3], scale_factor=self.stride)


def tiny(name: str, **changes: Any) -> Pipeline:
    """A preset around a tiny network of random numbers.

    Args:
        name: of the preset.
        **changes: as of `build`.
    """
    torch.manual_seed(0)
    slots = PRESETS[name].slots
    arguments = dict(slots["denoiser"].arguments)
    config = dict(arguments["config"]) | TINY[slots["denoiser"].name]
    if "block_out_channels" in config:
        config["block_out_channels"] = WIDTHS[: len(config["block_out_channels"])]
    if config.get("addition_embed_type"):
        config |= {"addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 6 * 8 + 32}
    denoiser = create("denoiser", slots["denoiser"].name, **arguments | {"config": config}).eval()
    if "dropped" in slots["features"].arguments:  # channels of wide ones
        changes = {"features": Spec(slots["features"].name, dropped=())} | changes
    return build(name, denoiser=denoiser, autoencoder=Smaller(denoiser.channels), **changes)


@torch.no_grad()
def run(pipe: Pipeline, size: int) -> None:
    """A translation of random pictures with so many pixels a side."""
    numbers = torch.Generator().manual_seed(1)
    condition, exemplar = torch.rand(2, 1, 3, size, size, generator=numbers)
    pipe(condition, 2 * exemplar - 1, generator=numbers)


def calls(name: str) -> dict[str, float]:
    """How often a translation calls the network, and how many pictures it sees: guidance shows it two at a time."""
    pipe = tiny(name)
    seen: list[int] = []
    ended: list[int] = []

    def note(module: nn.Module, given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        seen.append(len(given[0] if given else named["hidden_states"]))

    with_hooks: Any = pipe.denoiser
    hooks = [
        with_hooks.network.register_forward_pre_hook(note, with_kwargs=True),
        with_hooks.network.register_forward_hook(lambda *_: ended.append(1)),
    ]
    run(pipe, 64)
    for hook in hooks:
        hook.remove()
    steps = len(pipe.sampler.levels)
    return {
        "steps": steps,
        "calls": len(seen),
        "of these cut short": len(seen) - len(ended),
        "pictures": sum(seen),
        "pictures a step": sum(seen) / steps,
    }


def peak(name: str, size: int, **changes: Any) -> int:
    """Bytes of all tensors that a translation has alive at most, beside the weights."""
    sampler = PRESETS[name].slots["sampler"]
    timesteps = sampler.arguments["timesteps"]
    few = tuple(timesteps[round(i * (len(timesteps) - 1) / (STEPS - 1))] for i in range(STEPS))
    sampler = Spec(sampler.name, timesteps=few)
    again = (1,) if PRESETS[name].loop["rematch"] else ()
    pipe, live = tiny(name, sampler=sampler, rematch=again, **changes), LiveBytes()
    with live:
        run(pipe, size)
    return live.most


def memory(name: str) -> dict[str, float]:
    """What a cell of the latent takes at the peak, with the preset's injection and without one."""

    def a_cell(**changes: Any) -> float:
        cells = [(size // Smaller.stride) ** 2 for size in (SMALL, LARGE)]
        small, large = (peak(name, size, **changes) for size in (SMALL, LARGE))
        return (large - small) / (cells[1] - cells[0])

    found = {"bytes a cell": a_cell()}
    if "injection" in PRESETS[name].slots:
        found["without injection"] = a_cell(injection=None, start="noise")
    return found


def contrast() -> dict[str, float]:
    """Seconds that a layer takes for cross-attention without contrast and with it, the quickest of five."""
    query, key, value = torch.randn(3, HEADS, 40, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    matching, parts = MatchingOfLayers(Policy()), (create("matcher", "attention"), create("confidence", "always"))

    def seconds(much: float) -> float:
        begun = time.perf_counter()
        contrasted(matching.exemplars(*parts, query, [key])[0], [value], much)
        return time.perf_counter() - begun

    tokens = {"heads": HEADS, "tokens": SIDE**2}
    return tokens | {name: min(seconds(much) for _ in range(5)) for name, much in (("plain", 1.0), ("sharper", 1.67))}


def page(results: Mapping[str, Any]) -> str:
    """The table, and how it was made."""
    rows = {f"`{name}`": row for name, row in results["presets"].items()}
    versions = ", ".join(f"{name} {results['versions'][name]}" for name in ("torch", "diffusers"))
    made = f"Made by `{results['command']}` on {results['date'][:10]}, {results['hardware']}, {versions}."
    layer = results["contrast"]
    sharper = (
        f"Contrast makes a layer's match of {layer['tokens']} tokens by {layer['heads']} heads "
        f"{layer['sharper'] / layer['plain']:.1f} times as dear."
    )
    return f"{table(rows)}\n\n{sharper}\n\n{made}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the results file and the table in the documentation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=[*NAMES], choices=NAMES, metavar="NAME")
    parser.add_argument("--out", type=Path, default=FILE)
    args = parser.parse_args(argv)
    try:
        before = json.loads(args.out.read_text())["presets"] if args.out.exists() else {}
        presets = before | {name: calls(name) | memory(name) for name in args.presets}
    except MidmsError as error:
        print(error, file=sys.stderr)
        return 1
    results = {"command": command("text_to_image"), "presets": presets, "contrast": contrast(), "seed": 0, **machine()}
    write_json(args.out, results)
    if args.out == FILE:
        between(DOCS, "calls", page(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
