"""How alike the pictures are that `midms pairs` finds for each other, on portraits; and what it takes for 100,000.

    python -m benchmarks.data.retrieval

Every face is there in several poses. Writes `benchmarks/results/retrieval.json`.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from benchmarks.results import RESULTS, command, machine, table, write_json
from midms.compose.catalog import create
from midms.core.tensors import save_state
from midms.data.portraits import parameters
from midms.data.portraits.pairs import SPLITS, render
from midms.pipeline.build import build
from midms.pipeline.retrieval import PER_FILE, Embedding, Vectors, embed, nearest_of, sight, sight_of

SIDE = 64
"""Pixels of the portraits."""
MANY = 100_000
"""Pictures for which time and memory are measured."""
QUERIES = 16
"""Files of queries that are timed of these."""


def main() -> None:
    """Measure and write the results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=40)
    parser.add_argument("--poses", type=int, default=8, help="of each face")
    parser.add_argument("--out", type=Path, default=RESULTS / "retrieval.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        scale = many(Path(folder) / "many")
        rows, chance = portraits(Path(folder), args.faces, args.poses)
    result: dict[str, Any] = {"command": command("data.retrieval"), "faces": args.faces, "poses": args.poses}
    write_json(args.out, result | {"rows": rows, "chance": chance, f"{MANY} pictures": scale, **machine()})
    print(table({"chance": chance, **rows}))
    print(f"{MANY} pictures: {scale}")


def portraits(folder: Path, faces: int, poses: int) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Figures of each kind of features, and of pictures taken at random."""
    first, count = SPLITS["validation"], faces * poses
    geometry = parameters.geometry([first + i for i in range(count)])
    style = parameters.style([first + i // poses for i in range(count)])
    images = ((render(geometry, style, SIDE).image + 1) * 127.5).round().byte().movedim(1, -1).numpy()
    names = [f"{i}.png" for i in range(count)]
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image).save(folder / name)
    face, yaw = torch.arange(count) // poses, geometry.yaw.flatten().rad2deg()
    model, hed = build("midm-faces"), create("features", "vgg", weights="hed", magnify=1)
    sights = {"midm-faces": sight_of(model), "vgg(weights=hed)": sight(hed)}
    rows = {}
    for name, see in sights.items():
        began = time.process_time()
        vectors = embed(folder, names, Embedding(see, name, SIDE), folder / "kept")
        spent = time.process_time() - began
        nearest = torch.tensor([others[0] for _, _, others in nearest_of(vectors, 1)])
        rows[name] = figures(face, yaw, nearest) | {"CPU ms a picture": 1000 * spent / count}
    same = face[:, None] == face
    apart = (yaw[:, None] - yaw).abs()
    others = ~torch.eye(count, dtype=torch.bool)
    chance = {"same face": same[others].float().mean().item(), "degrees apart": apart[others].mean().item()}
    return rows, chance


def figures(face: Tensor, yaw: Tensor, nearest: Tensor) -> dict[str, float]:
    """How often the nearest picture is of the same face, and how far it is turned from the picture in the mean."""
    same = (face == face[nearest]).float().mean().item()
    return {"same face": same, "degrees apart": (yaw - yaw[nearest]).abs().mean().item()}


def many(folder: Path) -> dict[str, float]:
    """Time to compare random vectors of so many pictures, from some of the queries, and the process's peak memory.

    Vectors are as long as those of `vgg`, of the extractors that need no download the longest. It runs first, so that
    the peak is this one's.
    """
    width = 128 + 256 + 512
    generator = torch.Generator().manual_seed(0)
    paths = []
    for number in range(-(-MANY // PER_FILE)):
        rows = min(PER_FILE, MANY - number * PER_FILE)
        vectors = torch.nn.functional.normalize(torch.randn(rows, width, generator=generator), dim=1)
        paths.append(folder / f"{number:06}.safetensors")
        save_state({"vectors": vectors.half()}, paths[-1])
    began, found = time.process_time(), nearest_of(Vectors(tuple(paths), {}), 5)
    for _ in range(QUERIES * PER_FILE):
        next(found)
    share = QUERIES * PER_FILE / MANY
    return {
        "numbers a vector": width,
        "CPU minutes": (time.process_time() - began) / share / 60,
        "peak GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


if __name__ == "__main__":
    main()
