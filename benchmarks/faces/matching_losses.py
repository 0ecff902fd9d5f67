"""What each loss of the matching stage gives: the same short training with different terms.

    python -m benchmarks.faces.matching_losses --run runs/faces --steps 300

Needs a folder in which `midms train portraits --stage autoencoder` has left its weights and pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from benchmarks.results import RESULTS, machine, table, write_json
from midms.compose.spec import Spec
from midms.training.data import training_data
from midms.training.progress import Progress
from midms.training.train import fresh, fresh_part, known_parts, stage
from midms.training.trainer import fit

EXACT = {"exact": 1.0, "distance": 5.0, "visibility": 0.5}
NONE = dict.fromkeys(EXACT, 0.0)
VARIANTS: dict[str, dict[str, float]] = {
    "exact correspondence and visibility (shipped)": EXACT,
    "exact correspondence alone": EXACT | {"visibility": 0.0},
    "the paper's weak losses alone": NONE | {"domain": 1.0, "cycle": 1.0, "reconstruction": 1.0},
    "all": EXACT | {"domain": 0.2, "cycle": 0.2, "reconstruction": 0.2},
}


def main() -> None:
    """Train each variant, write the results file, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of a training run")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--styles", type=int, default=6000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS / "matching_losses.json")
    args = parser.parse_args()
    rows: dict[str, dict[str, Any]] = {}
    device = torch.device(args.device)
    for name, terms in VARIANTS.items():
        torch.manual_seed(args.seed)
        known, network = known_parts("matching", args.run, device), fresh("matching", device)
        out = args.run / "losses" / name.replace(" ", "-")
        progress = Progress(out / "matching.checkpoint", network, {"steps": args.steps, "seed": args.seed})
        spec = Spec("portraits", styles=args.styles)
        data = training_data(spec, args.size, fresh_part("condition"), args.run / "data")
        task = stage("matching", network, known, data, args.run, device, terms)
        _, record = fit(task, progress)
        rows[name] = {figure: value for figure, value in record["held out"].items() if figure.startswith("first")}
        rows[name]["minutes"] = record["minutes"]
        write_json(
            args.out, {"steps": args.steps, "batch": task.batch, "variants": VARIANTS, "rows": rows, **machine()}
        )
    print(table(rows))


if __name__ == "__main__":
    main()
