"""The cross product of parts, each combination measured on pairs whose answer is known."""

from __future__ import annotations

import functools
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from midms.compose.compose import BuildError
from midms.compose.spec import Spec
from midms.core.files import check_file, check_folder
from midms.core.protocols import ConditionExtractor
from midms.core.results import machine
from midms.data.pair import Pair
from midms.data.portraits.pairs import Pairs, draw_pairs, generators
from midms.evaluation.ablation.identity import digest_value, package
from midms.evaluation.ablation.ledger import ALWAYS, Ledger, LedgerError
from midms.evaluation.ablation.vary import OWN, Vary, check_vary, combinations, spelled
from midms.evaluation.metrics.cost import Cost
from midms.evaluation.metrics.faces import conditions
from midms.evaluation.metrics.known import match_figures, picture_figures
from midms.evaluation.metrics.pictures import auroc
from midms.images import save_images, to_pil
from midms.loop import POLICY, Policy
from midms.pipeline.datasets import make_dataset, read_pairs
from midms.pipeline.pipeline import Pipeline
from midms.pipeline.pretrained import load, preset_recipe

PORTRAITS = "portraits"
"""The data set that is measured where none is named."""
PAIRS_AT_ONCE = 20
BATCHES_KEPT = 8
"""Batches that stay rendered from one combination to the next; of more, each is rendered anew."""
EACH = ("PSNR", "first PSNR", "first PCK@0.05")
"""Figures that are kept pair by pair."""
SHOWN = 6
"""Pairs that the contact sheet shows."""
PICTURES, REPORT_FILES = "pictures", ("table.md", "plot.png", "sheet.png", "report.html")
"""Folder of the runs' pictures, and what is written of all runs."""


@dataclass(frozen=True)
class Setting:
    """What all combinations of an ablation share.

    Attributes:
        preset: that is varied.
        split: of the data set.
        pairs: how many, from the first.
        size: pixels a side.
        seed: of the noise.
        device: where it is computed.
        weights: the fingerprint of those given instead of the shipped, or None.
        data: the data set and its settings; None for `portraits` as they are.
        some_pairs: tells data sets of one name apart.
    """

    preset: str
    split: str
    pairs: int
    size: int
    seed: int
    device: str
    weights: str | None = None
    data: Spec | None = None
    some_pairs: str | None = None

    @property
    def data_name(self) -> str:
        """The data set as one would type it."""
        return self.data.typed() if self.data else PORTRAITS

    def record(self) -> dict[str, Any]:
        """What was given, by name, for records and identities."""
        given = {**vars(self), "data": self.data and self.data_name}
        return {name: value for name, value in given.items() if value is not None}

    def batches(self) -> list[range]:
        """The numbers of the pairs, so many at once."""
        return [range(start, min(start + PAIRS_AT_ONCE, self.pairs)) for start in range(0, self.pairs, PAIRS_AT_ONCE)]

    def draw(self, indices: range) -> Pairs:
        """The pairs of these numbers."""
        return draw_pairs(self.split, indices, self.size, self.device)

    def dataset(self, condition: ConditionExtractor) -> Any:
        """The data set whose conditions an extractor reads; None where portraits are drawn.

        Raises:
            DatasetError: it cannot be made, or its first pair is none.
        """
        return make_dataset(self.data, self.split, self.size, condition) if self.data else None


def run_settings(
    setting: Setting, vary: Vary, weights: str | Path | None, out: Path, progress: bool
) -> list[dict[str, Any]]:
    """Measure every combination that the folder's ledger does not have, and return the records of all.

    Args:
        setting: what they share.
        vary: slot or loop setting to its values.
        weights: as of `build`.
        out: folder of `runs.jsonl` and the pictures.
        progress: whether to show a bar.

    Raises:
        HeldError: another process writes to the folder.
        LedgerError: the ledger is damaged, or the disk refuses a line.
        PictureError: the disk refuses a picture.
        OSError: what is written in the end would have no place in the folder.
    """
    check_vary(vary)
    quiet = None if progress else True
    ledger = Ledger(out / "runs.jsonl")
    with ledger.held() as lines:
        wanted = {identity(setting, combination): combination for combination in combinations(vary)}
        known = {record["id"]: record for record in lines}
        if other := {record.get("data", PORTRAITS) for record in lines} - {setting.data_name}:
            held = f"holds runs on {', '.join(sorted(map(str, other)))}"
            raise LedgerError(f"{ledger.path}: {held}, these are on {setting.data_name}; choose another --out")
        if odd := [name for name in wanted if name in known and known[name]["run"].keys() != wanted[name].keys()]:
            raise LedgerError(f"{ledger.path}: {odd[0]} is another run; remove its line to have the run done again")
        missing = [name for name in wanted if "error" in known.get(name, {"error": ""})]
        check_places(out, missing)
        draw = functools.lru_cache(BATCHES_KEPT)(setting.draw)
        with tqdm(total=len(missing) * len(setting.batches()), unit="batch", disable=quiet) as bar:
            for name in missing:
                combination = wanted[name]
                bar.set_description(" ".join(spelled(value) for value in combination.values()))
                began = time.monotonic()
                record, shown = measured(setting, combination, weights, draw, bar.update)
                if shown:
                    save_strip(shown, out / PICTURES / f"{name}.png")
                ledger.add({"id": name} | record | {"seconds": round(time.monotonic() - began, 2)})
        known = {record["id"]: record for record in ledger.read()}
    return [known[name] for name in wanted]


def check_places(out: Path, names: Iterable[str]) -> None:
    """Find out before the work whether what an ablation writes beside its ledger can be written.

    Args:
        out: folder, which is there.
        names: of the runs that are to be done.

    Raises:
        OSError: it cannot; `strerror` says why.
    """
    check_folder(out / PICTURES)
    pictures = [f"{PICTURES}/{name}.png" for name in names] if (out / PICTURES).is_dir() else []
    for name in (*REPORT_FILES, *pictures):
        check_file(out / name)


def identity(setting: Setting, combination: dict[str, Any]) -> str:
    """A name for a run: the same setting and combination, of the same code, have the same."""
    return digest_value([package(), setting.record(), dict(sorted(combination.items()))])


def measured(
    setting: Setting,
    combination: dict[str, Any],
    weights: str | Path | None,
    draw: Callable[[range], Pairs],
    advance: Callable[[int], Any],
) -> tuple[dict[str, Any], list[Image.Image]]:
    """The record of one run and some of its results; what goes wrong is recorded.

    A combination that `build` refuses, because its parts do not go together, or of which a setting that is not the
    preset's changes nothing, has "refused"; one that fails has "error".
    What a user should know, such as that weights are not trained, is under "notes".
    """
    record: dict[str, Any] = {
        "run": {slot: spelled(value) for slot, value in combination.items()}, **setting.record(), **machine(),
    }  # fmt: skip
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pipe = load(setting.preset, weights, **{s: value for s, value in combination.items() if value != OWN})
    except BuildError as error:
        advance(len(setting.batches()))
        return record | {"refused": str(error).partition(": ")[2]}, []
    usual = Policy(**{name: value for name, value in preset_recipe(setting.preset).loop.items() if name in POLICY})
    given = [name for name in combination if name in POLICY and combination[name] not in (OWN, getattr(usual, name))]
    if idle := pipe.policy.idle(given):
        advance(len(setting.batches()))
        wrong = (f"{name} changes nothing without {' and '.join(needed)}" for name, needed in idle.items())
        return record | {"refused": "; ".join(wrong)}, []
    record |= {"notes": list(pipe.notes)} if pipe.notes else {}
    try:
        found, shown = figures(pipe.to(setting.device), setting, draw, advance)
    except (Exception, SystemExit) as error:  # whatever a part raises, the others are still to be measured
        place = traceback.extract_tb(error.__traceback__)[-1]
        return record | {"error": f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"}, []
    return record | found, shown


@torch.no_grad()
def figures(
    pipe: Pipeline,
    setting: Setting,
    draw: Callable[[range], Pairs],
    advance: Callable[[int], Any],
) -> tuple[dict[str, Any], list[Image.Image]]:
    """Means over pairs, the figures of each pair, time and memory; and the results of the first pairs."""
    batch = _reader(pipe, setting, draw)
    one = _reader(pipe, setting, setting.draw)(range(1))
    for _ in pipe.trajectory(one.condition, one.exemplar, one.exemplar_condition):
        pass  # what is loaded once is no run's cost
    cost = Cost(setting.device)
    collected: dict[str, list[Tensor]] = {}
    shown: list[Tensor] = []
    for indices in setting.batches():
        pairs = batch(indices)
        given = pairs.condition, pairs.exemplar, pairs.exemplar_condition
        with cost.measured():
            moments = list(pipe.trajectory(*given, generator=generators(setting.seed, indices)))
            image = pipe.autoencoder.decode(moments[-1].step.x0)
        for text in moments[0].warnings:
            warnings.warn(text, stacklevel=2)
        found = picture_figures(image, pairs) | match_figures(moments[-1].match, moments[-1].confidence, pairs)
        first = next(pipe.replace(rematch=()).trajectory(*given))
        found["first PSNR"] = picture_figures(pipe.autoencoder.decode(first.warp), pairs)["PSNR"]
        if pairs.flow is not None:
            found["first PCK@0.05"] = match_figures(first.match, first.confidence, pairs)["PCK@0.05"]
        for name, values in found.items():
            collected.setdefault(name, []).append(values.cpu())
        shown += [one[None] for one in image[: SHOWN - len(shown)]]
        advance(1)
    whole_set = {name: torch.cat(values) for name, values in collected.items()}
    ranking = {}
    if "_right" in whole_set:
        ranking["AUROC"] = auroc(whole_set.pop("_confidence"), whole_set.pop("_right").bool())
    for name, values in whole_set.items():
        bad = int((~values.isfinite()).sum())
        if bad == len(values) or (bad and name in ALWAYS):
            raise ArithmeticError(f"{name} is not finite in {bad} of {len(values)} pairs")
    results = [to_pil(one) for one in shown]
    return {
        "figures": {name: values.nanmean().item() for name, values in whole_set.items()}
        | ranking
        | {"ms a pair": 1000 * cost.seconds / setting.pairs, "peak MB": cost.megabytes},
        "each": {name: [round(value, 4) for value in whole_set[name].tolist()] for name in EACH if name in whole_set},
    }, results


def _reader(pipe: Pipeline, setting: Setting, draw: Callable[[range], Pairs]) -> Callable[[range], Pair]:
    """What gives pairs by their numbers, their conditions read by the pipeline's extractor."""
    dataset = setting.dataset(pipe.condition)

    def read(indices: range) -> Pair:
        if dataset is not None:
            return read_pairs(dataset, indices).to(setting.device)
        pairs = draw(indices)
        return replace(pairs.pair(), condition=conditions(pipe.condition, pairs))

    return read


def save_strip(images: Sequence[Image.Image], path: Path) -> None:
    """Pictures side by side, written whole.

    Raises:
        PictureError: the disk refuses.
    """
    strip = Image.new("RGB", (sum(image.width for image in images), images[0].height))
    for i, image in enumerate(images):
        strip.paste(image, (sum(one.width for one in images[:i]), 0))
    save_images({path: strip})
