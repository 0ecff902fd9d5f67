"""What a translation was asked for, as Python that asks for it again."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from midms.compose.slots import SLOTS
from midms.core.types import Noise
from midms.images import Pixels, read_pixels
from midms.images.arrays import is_array, to_array
from midms.pipeline.translator import Translator

INPUTS = "inputs"
"""Folder of what was handed in."""
_AS_THEY_ARE = ("1", "L", "P", "I;16")
"""Modes of pictures whose numbers may be labels."""
_IMPORTS = {
    "Path": "from pathlib import Path",
    "numpy": "import numpy",
    "torch": "import torch",
    "build": "from midms import build",
    "from_pretrained": "from midms import from_pretrained",
    "Spec": "from midms import Spec",
    "Prompt": "from midms.core.types import Prompt",
}
"""Lines that scripts begin with, by the name that they need."""
_SEVERAL = ("exemplar", "exemplar_condition", "regions", "exemplar_regions")
"""Arguments that take several pictures in a list."""


@dataclass(frozen=True)
class Request:
    """What a translation was asked for.

    Attributes:
        pipe: the composed method.
        arguments: of `translate`, those that were given, as they came.
        seed: of the noise; None where it came from elsewhere.
    """

    pipe: Translator
    arguments: Mapping[str, object]
    seed: int | None

    def settings(self) -> dict[str, Any]:
        """Call, parts and loop, to be read."""
        recipe = self.pipe.recipe
        return {
            "call": recipe.call,
            "seed": self.seed,
            "size": self.pipe.size,
            "slots": {slot: self._part(slot) for slot in SLOTS if getattr(self.pipe, slot, None) is not None},
            "policy": asdict(self.pipe.policy),
        }

    def _part(self, slot: str) -> str:
        spec = self.pipe.recipe.slots.get(slot)
        return f"a ready {type(getattr(self.pipe, slot)).__name__}" if spec is None else spec.typed()

    def script(self, folder: Path) -> str:
        """Python that makes the result again, to lie in a folder, where what was handed in is copied to `INPUTS`.

        Of what is no file, such as a folder of masks, the path alone is kept.
        """
        (inputs := folder / INPUTS).mkdir()
        given = {name: _expression(inputs, name, value) for name, value in self.arguments.items()}
        if self.seed is not None:
            given["seed"] = repr(self.seed)
        values = ", ".join([given.pop("condition"), given.pop("exemplar"), *(f"{k}={v}" for k, v in given.items())])
        notes = [] if self.seed is not None else ["# its noise came from no seed; this draws another"]
        lines = [
            "HERE = Path(__file__).parent",
            *self._build(),
            *notes,
            f"result = pipe.translate({values})",
            'result.image.save(HERE / "again.png")',
        ]
        known = {word: line for word, line in _IMPORTS.items() if re.search(rf"\b{word}\b", "\n".join(lines))}
        return "\n".join([*known.values(), "", *lines, ""])

    def _build(self) -> list[str]:
        """Lines that compose the method."""
        recipe, policy = self.pipe.recipe, asdict(self.pipe.policy)
        usual = {**asdict(type(self.pipe.policy)()), **recipe.loop}
        changed: dict[str, Any] = {
            key: value for key, value in recipe.changes.items() if key in SLOTS and value is None
        }
        changed |= {slot: recipe.slots[slot] for slot in recipe.changes if slot in recipe.slots}
        changed |= {key: policy[key] for key in policy if key in recipe.changes or policy[key] != usual[key]}
        if "size" in recipe.changes or self.pipe.size != recipe.loop.get("size", self.pipe.size):
            changed["size"] = self.pipe.size
        ready = [s for s in SLOTS if s not in recipe.slots and getattr(self.pipe, s, None) is not None]
        notes = [f"# {slot} was {self._part(slot)}, which has no name to build it by" for slot in ready]
        if not recipe.call:
            return [*notes, "pipe = ...  # it was composed by hand"]
        inside = "".join(f", {key}={value!r}" for key, value in changed.items())
        return [*notes, f"pipe = {recipe.call[:-1]}{inside})"]


def seed_of(noise: Noise) -> int | None:
    """The seed of a generator that nothing was drawn from yet; None for any other noise."""
    if not isinstance(noise, torch.Generator):
        return None
    seed = noise.initial_seed()
    fresh = torch.Generator(noise.device).manual_seed(seed)
    return seed if torch.equal(fresh.get_state(), noise.get_state()) else None


def _expression(folder: Path, name: str, value: object) -> str:
    """Python for an argument of `translate`; files that it reads are written to a folder."""
    if isinstance(value, list | tuple) and name in _SEVERAL:
        return f"[{', '.join(_expression(folder, f'{name}-{i}', one) for i, one in enumerate(value, 1))}]"
    if isinstance(value, str | os.PathLike):
        if not Path(value).is_file():
            return repr(str(Path(value).absolute()))
        shutil.copyfile(value, target := folder / f"{name}{Path(value).suffix}")
        return _here(target)
    if isinstance(value, Image.Image) and value.mode in _AS_THEY_ARE:
        value.save(target := folder / f"{name}.png")
        return _here(target)
    if isinstance(value, Image.Image | Pixels):
        pixels = read_pixels(value, name).array
        if pixels.dtype == np.uint8 and (pixels.ndim == 2 or pixels.shape[-1] in (3, 4)):
            Image.fromarray(pixels).save(target := folder / f"{name}.png")
            return _here(target)
        value = pixels
    if is_array(value) and not _holds_mappings(value):
        np.save(target := folder / f"{name}.npy", to_array(value, name), allow_pickle=False)
        loaded = f"numpy.load({_here(target)})"
        return f"torch.from_numpy({loaded})" if isinstance(value, Tensor) else loaded
    return repr(value)


def _here(target: Path) -> str:
    return f'HERE / "{INPUTS}/{target.name}"'


def _holds_mappings(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and isinstance(value[0], Mapping)
