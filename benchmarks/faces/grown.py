"""A model of faces at 64 pixels as one at 128 that gives the same pictures, doubled: what training at 128 begins with.

    python -m benchmarks.faces.grown --out runs/grown

What reads pixels that are folded to cells reads each of four with a quarter of the weight, and what writes them writes
each of four alike; channels that the latent did not have are read with no weight (Net2Net, Chen et al. 2016,
arXiv:1511.05641).
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from midms.checkpoints.folder import read_folder, write_folder
from midms.compose.catalog import create
from midms.compose.presets import PRESETS

SMALL, LARGE = PRESETS["midm-faces"], PRESETS["midm-faces-128"]
FEW, MANY = (recipe.slots["autoencoder"].arguments["channels"] for recipe in (SMALL, LARGE))
STRIDE = SMALL.slots["autoencoder"].arguments["stride"]
State = dict[str, Tensor]


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for --init of `midms train`")
    args = parser.parse_args()
    found = read_folder(SMALL.home)
    torch.manual_seed(0)
    states = {slot: {name: value.float() for name, value in found.state(slot).items()} for slot in LARGE.weights}
    states["autoencoder"] = grown_autoencoder(states["autoencoder"])
    states["features"] = grown_features(states["features"])
    states["denoiser"] = grown_denoiser(states["denoiser"])
    recipe = dataclasses.replace(LARGE, made={"grown": {"from": SMALL.name, **found.recipe.made}})
    write_folder(args.out, "train", recipe, states)


def grown_autoencoder(state: State) -> State:
    """New channels of the latent are written at random, and not yet read."""
    fresh = create("autoencoder", LARGE.slots["autoencoder"].name, **LARGE.slots["autoencoder"].arguments).state_dict()
    new = {"encoder.1.weight": _finer(state["encoder.1.weight"], 1, 2) / 4}
    new |= {name: torch.cat([state[name], fresh[name][FEW:]]) for name in ("encoder.7.weight", "encoder.7.bias")}
    new |= {name: torch.cat([state[name], fresh[name][:, FEW:]], 1) for name in ("mean", "std")}
    new |= {"decoder.0.weight": _wider(state["decoder.0.weight"], 1)}
    new |= {name: _finer(state[name], 0, 2) for name in ("decoder.9.weight", "decoder.9.bias")}
    return state | new


def grown_features(state: State) -> State:
    """The stems read maps of twice as many pixels a side, and latents of more channels."""
    new = {}
    for domain, latent in (("sketch", 0), ("picture", FEW), ("estimate", FEW)):
        name = f"stems.{domain}.0.weight"
        seen, maps, place = state[name].tensor_split([latent, state[name].shape[1] - 2], 1)
        new[name] = torch.cat([_wider(seen, 1) if latent else seen, _finer(maps, 1, STRIDE) / 4, place], 1)
    return state | new


def grown_denoiser(state: State) -> State:
    """The U-Net reads more channels of noise and warp and finer maps, and predicts more channels."""
    name = "network.conv_in.weight"
    x, warp, maps, confidence = state[name].tensor_split([FEW, 2 * FEW, state[name].shape[1] - 1], 1)
    new = {name: torch.cat([_wider(x, 1), _wider(warp, 1), _finer(maps, 1, STRIDE) / 4, confidence], 1)}
    return state | new | {name: _wider(state[name], 0) for name in ("network.conv_out.weight", "network.conv_out.bias")}


def _finer(weight: Tensor, axis: int, side: int) -> Tensor:
    """Channels that are side x side pixels, each pixel as four."""
    pixels = weight.movedim(axis, 0).unflatten(0, (-1, side, side))
    return pixels.repeat_interleave(2, 1).repeat_interleave(2, 2).flatten(0, 2).movedim(0, axis)


def _wider(weight: Tensor, axis: int) -> Tensor:
    """As many channels as the latent shall have, the new ones of no weight."""
    return F.pad(weight.movedim(axis, -1), (0, MANY - FEW)).movedim(-1, axis)


if __name__ == "__main__":
    main()
