"""Which part is best: every combination of some parts, measured on pairs whose exact answer is known.

from midms import Spec, ablate

found = ablate("midm-faces", {"matcher": ["preset", "nearest"], "confidence": ["cycle", "always"]}, out="runs/which")
print(found.table())
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from midms.checkpoints.convert import find
from midms.compose.catalog import create
from midms.compose.recipe import Recipe
from midms.compose.spec import Spec
from midms.core.errors import MidmsError
from midms.core.limits import SEEDS, int_range
from midms.data.portraits.pairs import SIZES, SPLITS
from midms.evaluation.ablation.identity import fingerprint
from midms.evaluation.ablation.report import listed, table, write_report
from midms.evaluation.ablation.run import PORTRAITS, Setting, run_settings
from midms.pipeline.datasets import pairs_digest
from midms.pipeline.pretrained import is_saved, load, preset_recipe
from midms.registry import unknown

__all__ = ["Ablation", "AblationError", "ablate"]

_SIDES = (32, 1024)
"""Pixels of the shorter side that pairs can have which are not drawn."""
PAIRS = 10_000
"""The most pairs that are measured: what all their pixels were trusted stays in memory."""


class AblationError(MidmsError, ValueError):
    """An ablation that cannot be made so; the message says why."""


@dataclass(frozen=True)
class Ablation:
    """What an ablation found.

    Attributes:
        records: one a combination, in the order of the cross product: `run`, slot to value; `figures`, means over the
            pairs; `each`, figures pair by pair; or `refused`, why it cannot be composed, or `error`, why it failed; and
            `notes`, what to mind.
        out: folder of the ledger, the table, the plot and the contact sheet.
    """

    records: tuple[Mapping[str, Any], ...]
    out: Path

    def table(self) -> str:
        """A Markdown table, best first."""
        return table(self.records)

    @property
    def failures(self) -> tuple[str, ...]:
        """The combinations that failed, and why; not those that cannot be composed."""
        return listed(self.records, "error")

    @property
    def notes(self) -> tuple[str, ...]:
        """The combinations of which there is something to know, such as weights that are not trained, and what."""
        return listed(self.records, "notes")


def ablate(
    preset: str,
    vary: Mapping[str, Sequence[Any]],
    *,
    out: str | Path,
    data: str | Spec = PORTRAITS,
    pairs: int = 100,
    split: str | None = None,
    size: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    weights: str | Path | None = None,
    progress: bool = True,
) -> Ablation:
    """Measure the cross product of some parts on portraits, or on another data set.

    Runs are added to `out/runs.jsonl`, a line each; those that are there are not done again, whatever stopped the last
    call. Combinations that failed are tried again.

    Args:
        preset: of which parts are varied; or a folder of weights with all parts, or its id on the hub.
        vary: slot, or setting of the loop such as `rematch`, to values as `build` takes them; "preset" is what the
            preset has.
        out: folder.
        data: a registered data set, a name or a `Spec` with its settings. Where pairs have no `flow`, figures of the
            match are left out; where they have a `foreground`, figures are of it alone.
        pairs: how many, from the split's first, or all that there are.
        split: by default "test" of portraits, "validation" of others.
        size: pixels a side; by default the preset's.
        seed: of the noise.
        device: where to compute.
        weights: as of `build`; others are another run.
        progress: whether to show a bar.

    Raises:
        AblationError: there is nothing to measure, or on nothing.
        DatasetError: the data set cannot be made, or gives what is no pair.
        OutOfLimits: pairs, size or seed is no such number.
        VaryError: a slot does not exist.
        UnknownName: a preset or part does not exist.
        BadArguments: a part does not take its arguments.
        CheckpointError: there are no such weights.
        LedgerError: the ledger is damaged, or of another data set, or the disk refuses a line.
        PictureError: the disk refuses a picture.
        HeldError: another process writes to the folder.
        OSError: what is written in the end would have no place in the folder.
    """
    recipe = load(preset, weights).recipe if is_saved(preset) else preset_recipe(preset)
    spec = Spec(data) if isinstance(data, str) else data
    drawn = spec == Spec(PORTRAITS)
    split = split or ("test" if drawn else "validation")
    if drawn and split not in SPLITS:
        raise AblationError(unknown("split", split, SPLITS))
    int_range(1, PAIRS, pairs=pairs)
    int_range(0, SEEDS, seed=seed)
    if size is not None:
        int_range(*(SIZES if drawn else _SIDES), size=size)
    if not vary or not all(vary.values()):
        raise AblationError(f"vary must have a slot, and a value for each, got {dict(vary)}")
    domain = recipe.domain if weights is None else find(weights).recipe.domain
    size = int(recipe.loop["size"]) if size is None else size
    for text in domain.warnings(size, ()):
        warnings.warn(text, stacklevel=2)
    own = preset if is_saved(preset) else weights
    setting = Setting(preset, split, pairs, size, seed, str(device), fingerprint(own))
    if not drawn:
        setting = _on(spec, setting, recipe)
    records = run_settings(setting, vary, weights, Path(out), progress)
    write_report(setting, records, Path(out))
    return Ablation(tuple(records), Path(out))


def _on(data: Spec, setting: Setting, recipe: Recipe) -> Setting:
    """The same on a data set, on as many pairs as it has at most."""
    extractor = recipe.slots["condition"]
    setting = replace(setting, data=data)
    dataset = setting.dataset(create("condition", extractor.name, **extractor.arguments))
    if not len(dataset):
        raise AblationError(f"data set {data.typed()}: has no pairs in its split {setting.split!r}")
    return replace(setting, pairs=min(setting.pairs, len(dataset)), some_pairs=pairs_digest(dataset, data.name))
