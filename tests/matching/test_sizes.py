"""What a folder asks for is compared with the weights that are there, before memory is taken for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from weights_files import save_weights

import midms
from midms import build, create
from midms.checkpoints.convert.fit import recipe_of
from midms.checkpoints.folder import write_folder
from midms.compose.spec import Spec
from midms.core import tensors as checkpoints
from midms.core.tensors import CheckpointError, cast, outline

ABSURD: dict[str, Any] = {
    "widths": [8, 8, 2**16],
    "width": 2**16,
    "latent_channels": 2**16,
    "condition_channels": -1,
}
SIZES = {"condition_channels": 2, "latent_channels": 8, "stride": 4, "width": 16, "widths": (8, 8, 16)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A composition, and weights as `midms convert` writes them."""
    top = tmp_path_factory.mktemp("folders")
    with pytest.warns(UserWarning, match="weights as constructed"):
        pipe = build("midm-faces-paper", features=Spec("pyramid", **SIZES))
    pipe.save_pretrained(top / "composition")
    spec = Spec("midm", condition_channels=15, latent_channels=3, width=16, widths=(8, 8, 16), hidden=8, blocks=1)
    state = create("features", spec.name, **spec.arguments).state_dict()
    write_folder(top / "weights", "convert", recipe_of({"features": spec}, "ldm-celeba"), {"features": state})
    return {"composition": top / "composition", "weights": top / "weights"}


@pytest.mark.parametrize(("key", "value"), ABSURD.items(), ids=ABSURD)
@pytest.mark.parametrize("kind", ["composition", "weights"])
def test_sizes_that_the_weights_do_not_have_are_refused_without_memory(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, key: str, value: object
) -> None:
    folder = Path(shutil.copytree(folders[kind], tmp_path / kind))
    config = folder / "config.json"
    content = json.loads(config.read_text())
    content["slots"]["features"]["arguments"][key] = value
    config.write_text(json.dumps(content))
    monkeypatch.setattr(nn.Module, "eval", lambda _: pytest.fail("a part was made"))
    with pytest.raises(CheckpointError, match=r"features.safetensors: (does not fit|no part can be made)") as caught:
        midms.from_pretrained(folder) if kind == "composition" else build("midm-celeba", weights=folder)
    assert "\n" not in str(caught.value)


def test_layers_without_end_are_given_up() -> None:
    with pytest.raises(CheckpointError, match="x: has 10 tensors, its settings ask for many more"):
        outline(lambda: nn.ModuleList(nn.Linear(1, 1) for _ in range(10**6)), 10, "x")
    part = outline(lambda: create("denoiser", "unconditional"), 200, "x")
    assert {value.device.type for value in part.state_dict().values()} == {"meta"}
    assert create("confidence", "calibrated").state_dict(), "and nothing stays behind"


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn])
@pytest.mark.parametrize("keep", [True, False])
def test_what_is_no_real_number_is_no_weight(dtype: torch.dtype, keep: bool) -> None:
    module = nn.Linear(2, 2)
    state = {name: torch.ones(value.shape).to(dtype) for name, value in module.state_dict().items()}
    with pytest.raises(CheckpointError, match=f"bias is {dtype}, expected real numbers"):
        checkpoints.load_state(module, state, "x", keep)
    assert not (module.bias == 1).any()


def test_a_number_must_be_finite_in_the_modules_own_precision() -> None:
    module = nn.Linear(2, 2)
    state = {"weight": torch.full((2, 2), 1e300, dtype=torch.float64), "bias": torch.zeros(2)}
    with pytest.raises(CheckpointError, match=r"weight is not finite in torch.float32"):
        checkpoints.load_state(module, state, "x")
    checkpoints.load_state(module.double(), state, "x")
    assert module.weight.max() == 1e300


@pytest.mark.parametrize(
    ("value", "said"), [(float("nan"), "bias is not finite$"), (1e5, "bias is not finite in torch.float16, it")]
)
def test_what_is_not_finite_is_not_saved(tmp_path: Path, value: float, said: str) -> None:
    module = nn.Linear(2, 2)
    save_weights(module, tmp_path / "net.safetensors")
    before = (tmp_path / "net.safetensors").read_bytes()
    module.bias.data[1] = value
    with pytest.raises(CheckpointError, match=f"net.safetensors: not saved, {said}"):
        save_weights(module, tmp_path / "net.safetensors")
    with pytest.raises(CheckpointError, match=f"x: not saved, {said}"):
        cast(module.state_dict(), torch.float16, "x")
    assert (tmp_path / "net.safetensors").read_bytes() == before and len([*tmp_path.iterdir()]) == 1


def test_a_part_has_one_precision() -> None:
    module = nn.Linear(2, 2)
    state = {"weight": torch.zeros(2, 2, dtype=torch.float64), "bias": torch.zeros(2)}
    with pytest.raises(CheckpointError, match=r"weights are torch.float32 and torch.float64, expected one precision"):
        checkpoints.load_state(module, state, "x", keep=True)
