"""A step of the released training, recorded with spectral norms in training mode, against ours."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import pytest
import torch
from checkpoints_of_others import GOLDEN, LDM, SHAPES, is_buffer
from safetensors.torch import load_file, save_file

from benchmarks.training_parity import steps
from benchmarks.training_parity.__main__ import Line, lines_of, losses, shown
from benchmarks.training_parity.recorded import Recorded, RecordError
from benchmarks.training_parity.steps import computed, nudged, rounding

STEP = "train_full_sn"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A folder as `python -m benchmarks.training_parity` takes it, out of what is kept here."""
    folder = tmp_path_factory.mktemp("recorded")
    said = json.loads((GOLDEN / "training-32.json").read_text())
    said |= {"config_yaml": LDM.read_text(), "state_dict": SHAPES}
    said["roles"] = {name: "constant" if is_buffer(name) else "filled" for name in SHAPES}
    (folder / "manifest.json").write_text(json.dumps(said))
    step, inputs = load_file(GOLDEN / "training-32.safetensors"), load_file(GOLDEN / "inference-32.safetensors")
    given = {"input/src": step.pop("target"), "input/ref": inputs["exemplar"]}
    for name, ours in (("trg", "condition"), ("ref", "exemplar_condition")):  # what lies between is never looked at
        given[f"input/{name}_sem_u8"] = inputs[ours].repeat_interleave(4, -1).repeat_interleave(4, -2).contiguous()
    save_file(given, folder / "inference.safetensors")
    save_file(step, folder / f"{STEP}.safetensors")
    return Recorded(folder)


def test_a_step_agrees_with_the_released_code(recorded: Recorded) -> None:
    """In float32, where gradients of PReLUs are rounding; in float64, which takes longer, they agree too."""
    lines = lines_of(recorded, STEP, computed(recorded, STEP, torch.float32))
    assert [str(line) for line in lines if line.bad and "gradient" not in line.name] == []
    slopes = [line for line in lines if "gradient" in line.name and line.bound and "prelu" not in line.name]
    assert [str(line) for line in slopes if not line.off < 2e-2] == []
    kinds = [line.name.partition(" ")[0] for line in lines]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "loss": 12,
        "tensor": 6,
        "gradient": 470,
        "kept": 7,
        "spectral": 36,
    }
    assert sum(line.bound is None for line in lines) < 30, "gradients that are rounding alone"
    assert len(shown(lines)) < 60


def test_what_is_beyond_its_bound_is_shown_whatever_it_is(recorded: Recorded) -> None:
    said = recorded.steps[STEP]["losses"]
    found = {line.name: line for line in losses(said, {"dom": said["domain"] * 1.0002, "ctx": torch.nan})}
    assert all(line.bad for line in found.values())
    assert {line.name for line in losses({"total": 1.0, "style": 2.0}, {"total": 1.0}) if line.bad} == {"loss style"}
    rounded, more = (Line("gradient 0", off, 1e-2, rounding=1e-2) for off in (2.9e-2, 3.1e-2))
    assert rounded.beyond and not rounded.bad and more.bad
    assert str(rounded).startswith("ROUNDING") and str(rounded).endswith("float32 moves it by 1.00e-02")
    many = [Line(f"gradient {i}", float(i == 50), 0.5) for i in range(100)]
    assert [line.name for line in shown(many) if line.bad] == ["gradient 50"] and len(shown(many)) < 20


def test_what_nobody_can_run_is_told(recorded: Recorded) -> None:
    other = dataclasses.replace(recorded)
    manifest = json.loads((recorded.folder / "manifest.json").read_text())
    manifest["train"][STEP]["losses"]["total"] *= 2
    other.__dict__["manifest"] = manifest
    with pytest.raises(RecordError, match="no released weights make the total"):
        other.settings(STEP)


def test_what_float32_leaves_open_is_measured(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a step again and again, on pictures that are nearly the same; of gradients of one number alone."""
    moved = nudged(recorded.pair(), 1)
    for picture, before in ((moved.exemplar, recorded.pair().exemplar), (moved.target, recorded.pair().target)):
        next_to = torch.stack([torch.nextafter(before, torch.full_like(before, way)) for way in (-9.0, 9.0)])
        assert (picture == next_to).any(0).all() and 0.4 < (picture == next_to[1]).float().mean() < 0.6
    assert torch.equal(moved.condition, recorded.pair().condition)

    class Stage:
        def __init__(self, number: float) -> None:
            self.parts = {name: torch.zeros(k, requires_grad=True) for k, name in ((1, "a"), (2, "b"))}
            for part in self.parts.values():
                part.grad = torch.full_like(part, -5.0 * number) if number else None

    class Found:
        def origins(self, stage: Stage) -> list[tuple[str, torch.Tensor, None]]:
            return [(name, part, None) for name, part in stage.parts.items()]

    def step(recorded: Found, name: str, dtype: torch.dtype, checkpointing: bool, moved: int) -> SimpleNamespace:
        assert (name, dtype, checkpointing) == (STEP, torch.float32, False)
        return SimpleNamespace(stage=Stage([1, 3, 2][moved]))

    monkeypatch.setattr(steps, "computed", step)
    assert rounding(Found(), STEP, Stage(0)) == {"a": 15}  # type: ignore[arg-type]
