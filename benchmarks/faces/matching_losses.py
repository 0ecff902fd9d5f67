"""What each loss of the matching stage gives: the same short training with different terms.

    python -m benchmarks.faces.matching_losses --run runs/faces --steps 300

Needs a folder in which `midms train --data portraits --preset midm-faces --stage autoencoder` has left its weights and
pictures.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from benchmarks.results import RESULTS, machine, table, write_json
from midms.checkpoints.folder import read_folder
from midms.compose.spec import Spec
from midms.training.data import split_datasets, training_data
from midms.training.start import made_stage, recipe_for
from midms.training.trainer import Engine, accelerator, begin, fit

EXACT = {"exact": 1.0, "distance": 5.0, "visibility": 0.5}
NONE = dict.fromkeys(EXACT, 0.0)
VARIANTS: dict[str, dict[str, float]] = {
    "exact correspondence and visibility (shipped)": EXACT,
    "exact correspondence alone": EXACT | {"visibility": 0.0},
    "MIDMs' weak losses alone": NONE | {"domain": 1.0, "cycle": 1.0, "reconstruction": 1.0},
    "all": EXACT | {"domain": 0.2, "cycle": 0.2, "reconstruction": 0.2},
}


def trained_matching(
    autoencoder: Path,
    out: Path,
    data: Spec,
    pictures: Path,
    terms: dict[str, float],
    steps: int,
    seed: int,
    size: int = 64,
    average: float = 0.998,
) -> tuple[Any, dict[str, Any]]:
    """The matching stage of `midm-faces` after some steps, and its record.

    Args:
        autoencoder: the folder of its weights.
        out: for checkpoints.
        data: what to train on.
        pictures: where they are kept.
        terms: weights of the losses.
        steps: how many.
        seed: of all that is drawn.
        size: pixels a side.
        average: the decay of the averaged weights; 0 for those of the last step.
    """
    found = read_folder(autoencoder)
    only = dataclasses.replace(found.recipe, weights={"autoencoder": found.recipe.weights["autoencoder"]})
    recipe, spec = recipe_for("midm-faces", size), Spec("matching", with_flow=terms, without_flow=terms, steps=steps)
    pipe, stage = made_stage(spec, recipe, dataclasses.replace(found, recipe=only), seed)
    stage.optimisation = dataclasses.replace(stage.optimisation, average=average)
    engine = Engine(accelerator(cpu=False))
    progress = begin(stage, out, "matching", {"steps": steps, "seed": seed}, engine)
    read = training_data(split_datasets(data, size, pipe.condition), pipe.condition.channels, pictures, seed)
    return stage, fit(stage, progress, read, engine)


def main() -> None:
    """Train each variant, write the results file, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of a training run")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--styles", type=int, default=6000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "matching_losses.json")
    args = parser.parse_args()
    rows: dict[str, dict[str, Any]] = {}
    for name, terms in VARIANTS.items():
        stage, record = trained_matching(
            args.run,
            args.run / "losses" / name.replace(" ", "-"),
            Spec("portraits", styles=args.styles),
            args.run / "data",
            terms,
            args.steps,
            args.seed,
            args.size,
        )
        rows[name] = {figure: value for figure, value in record["held out"].items() if figure.startswith("first")}
        rows[name]["minutes"] = record["minutes"]
        batch = stage.optimisation.batch
        write_json(args.out, {"steps": args.steps, "batch": batch, "variants": VARIANTS, "rows": rows, **machine()})
    print(table(rows))


if __name__ == "__main__":
    main()
