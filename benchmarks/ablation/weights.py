"""First matches of several qualities: features trained for so long, with the exact truth or with MIDMs' losses.

    python -m benchmarks.ablation.weights                     # trains what is missing, about 10 minutes on one core

Leaves a folder of weights for `midm-faces-paper` each in `runs/ablation/weights`; what is not trained is the shipped.
"""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.faces.matching_losses import EXACT, NONE, trained_matching
from midms.checkpoints.folder import CONFIG, read_folder, write_folder
from midms.compose.recipe import SHIPPED
from midms.compose.spec import Spec
from midms.core.tensors import cast

WEAK = NONE | {"domain": 1.0, "cycle": 1.0, "reconstruction": 1.0}
VARIANTS = {
    f"{kind}, {steps} steps": (terms, steps)
    for kind, terms in (("exact", EXACT), ("weak", WEAK))
    for steps in (30, 100, 300)
}
"""Losses and steps."""
STYLES, SEED = 1000, 0
ROOT = Path("runs/ablation/weights")


def trained(name: str, root: Path = ROOT) -> Path:
    """The folder of a variant's weights, trained now if it is not there.

    Those of the last step are taken: the average that training keeps would hold mostly the start after so few.
    """
    out = root / name.replace(", ", "-").replace(" ", "-")
    if not (out / CONFIG).exists():
        terms, steps = VARIANTS[name]
        spec, data = Spec("portraits", styles=STYLES), root / "data"
        stage, _ = trained_matching(
            SHIPPED / "midm-faces", root / "checkpoints" / out.name, spec, data, terms, steps, SEED, average=0.0
        )
        published = read_folder(SHIPPED / "midm-faces-paper")
        features = cast(stage.features.state_dict(), torch.float16, name)
        write_folder(
            out,
            "train",
            published.recipe,
            {slot: published.state(slot) for slot in published.parts} | {"features": features},
        )
    return out


if __name__ == "__main__":
    for variant in VARIANTS:
        print(trained(variant))
