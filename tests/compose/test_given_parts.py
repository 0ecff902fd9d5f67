"""What is given for a slot, beside what the preset has there: of the same name it keeps the preset's arguments."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

from benchmarks.text_to_image.__main__ import tiny
from midms import Spec, build
from midms.compose.catalog import KINDS, nested_kinds
from midms.compose.changes import LEVELS, specified, with_usual
from midms.compose.compose import BuildError
from midms.compose.presets import PRESETS
from midms.compose.slots import SLOTS
from midms.compose.spec import parse_value
from midms.core.signatures import parameters
from midms.evaluation.ablation.vary import check_vary, parse, spelled

KIND = {slot: kind for slot, (kind, _) in SLOTS.items()}
FILLED = [(preset, slot) for preset, recipe in PRESETS.items() for slot in recipe.slots]
"""Every slot of every preset."""
PRODUCT = Spec("product", of=(Spec("cycle", radius=0.1), Spec("cycle", radius=0.2, softness=0.1), "margin"))
NESTED = Spec("graft", matcher="nearest", confidence=PRODUCT, layers=("a", "b"))


def names_alone(kind: str, part: Any) -> Any:
    """A part without its arguments, but for those that are parts, of which the same is left."""
    if isinstance(part, tuple):
        return tuple(names_alone(kind, one) for one in part)
    spec = Spec(part) if isinstance(part, str) else part
    kinds = nested_kinds(kind, spec.name)
    inner = {name: names_alone(kinds[name], value) for name, value in spec.arguments.items() if name in kinds}
    return Spec(spec.name, **inner) if inner else spec.name


@pytest.mark.parametrize(("preset", "slot"), FILLED)
def test_a_part_by_its_own_name_is_the_presets_and_one_argument_changes_no_other(preset: str, slot: str) -> None:
    usual, kind = PRESETS[preset].slots[slot], KIND[slot]
    for same in (usual.name, Spec(usual.name), usual, names_alone(kind, usual), parse_value(usual.typed())):
        assert specified(kind, same, usual) == usual
    for name in parameters(KINDS[kind][usual.name]).parameters:
        changed, expected = object(), {**usual.arguments}
        expected |= {name: changed}
        if name == "timesteps":  # of which it is the start
            expected.pop("start", None)
        assert specified(kind, Spec(usual.name, **{name: changed}), usual) == Spec(usual.name, **expected)
    for other in {*KINDS[kind]} - {usual.name}:
        kept = {*LEVELS} & parameters(KINDS[kind][other]).parameters.keys() if kind == "sampler" else ()
        assert specified(kind, other, usual) == Spec(other, **{name: usual.arguments[name] for name in kept})


def test_parts_of_parts_keep_the_presets_arguments_too() -> None:
    assert with_usual("injection", names_alone("injection", NESTED), NESTED) == NESTED
    given = parse_value("graft(confidence=product(of=(cycle(softness=0.3), cycle, margin(scale=9))), last=0.5)")
    cycles = Spec("cycle", radius=0.1, softness=0.3), Spec("cycle", radius=0.2, softness=0.1)
    expected = {"confidence": Spec("product", of=(*cycles, Spec("margin", scale=9))), "last": 0.5}
    assert with_usual("injection", given, NESTED) == Spec("graft", **NESTED.arguments | expected)
    alone = with_usual("injection", Spec("graft", confidence="cycle"), NESTED).arguments["confidence"]
    assert alone == "cycle", "a part of another name than the preset's in its place has its own defaults"
    ready = object()
    assert with_usual("injection", Spec("graft", matcher=ready), NESTED).arguments["matcher"] is ready
    assert with_usual("matcher", ready, Spec("nearest")) is ready


def test_a_part_of_another_name_may_be_made_of_the_presets() -> None:
    ctrlx = PRESETS["sd-ctrlx"].slots["injection"]
    given = parse_value("control(network='F', beside=control(network='G', beside=ctrlx(appearance=0.3)))")
    inner = with_usual("injection", given, ctrlx).arguments["beside"]
    assert inner.arguments["beside"] == Spec("ctrlx", **ctrlx.arguments | {"appearance": 0.3})
    again = with_usual("injection", given, with_usual("injection", given, ctrlx))
    assert again == with_usual("injection", given, ctrlx), "and what was made so is made of itself"
    pyramid = PRESETS["midm-faces"].slots["features"]
    fused = with_usual("features", Spec("fusion", extractors=("pyramid", "vgg")), pyramid)
    assert fused.arguments["extractors"] == (pyramid, "vgg")


@pytest.mark.parametrize(
    ("preset", "typed"),
    [
        ("sd-ctrlx", "ctrlx(appearance=0.3)"),
        ("sdxl-ctrlx", "ctrlx(structure=0.3)"),
        ("flux-graft", "graft(dropout=0)"),
        ("sd3-graft", "graft(last=0.5)"),
        ("sd-crossattn", "cross-attention(contrast=1)"),
    ],
)
def test_one_knob_of_an_injection_leaves_the_others_as_the_preset_has_them(preset: str, typed: str) -> None:
    """On tiny networks with the blocks of the real ones, which are asked for the preset's layers."""
    given, usual = parse_value(typed), PRESETS[preset].slots["injection"]
    pipe, plain = tiny(preset, injection=given), tiny(preset)
    assert pipe.recipe.slots["injection"] == Spec(usual.name, **usual.arguments | given.arguments)
    (name, value), *_ = given.arguments.items()
    shown = [{one: repr(setting) for one, setting in vars(made.injection).items()} for made in (pipe, plain)]
    assert [one for one in shown[0] if shown[0][one] != shown[1][one]] == [name]
    assert getattr(pipe.injection, name) == value


def test_control_stands_beside_the_presets_injection() -> None:
    from diffusers import T2IAdapter

    network = T2IAdapter(channels=(32, 64, 64, 64))
    pipe = tiny("sd-ctrlx", injection=Spec("control", network=network, beside=Spec("ctrlx", appearance=0.3)))
    assert repr(pipe.injection.beside) == repr(tiny("sd-ctrlx", injection=Spec("ctrlx", appearance=0.3)).injection)


@pytest.mark.parametrize("preset", [name for name, recipe in PRESETS.items() if recipe.shipped])
def test_weights_stay_where_they_fit(preset: str) -> None:
    """A part that is given by its own name has its weights; with another setting too, and it is said."""
    recipe = PRESETS[preset]
    own = build(preset, **{slot: spec.name for slot, spec in recipe.slots.items()})
    assert (own.recipe.slots, own.notes, own.domain) == (recipe.slots, recipe.notes, recipe.domain)
    plain = build(preset)
    for slot in recipe.weights.keys() & recipe.slots.keys():
        theirs = getattr(plain, slot).state_dict()
        assert all(torch.equal(value, theirs[name]) for name, value in getattr(own, slot).state_dict().items())
    if recipe.slots["denoiser"].name == "bridge":
        note = "the denoiser given has the preset's weights, made with another min_confidence"
        with pytest.warns(UserWarning, match=note):
            other = build(preset, denoiser=Spec("bridge", min_confidence=0.4))
        assert other.denoiser.min_confidence == 0.4 and other.notes == (note,)
        theirs = plain.denoiser.state_dict()
        assert all(torch.equal(value, theirs[name]) for name, value in other.denoiser.state_dict().items())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            build(preset, denoiser=Spec("bridge", layers=1))  # the default, in other words
        with pytest.warns(UserWarning, match="weights are not for the denoiser given"):
            build(preset, denoiser=Spec("bridge", layers=2))


@pytest.mark.parametrize("denoiser", ["unet-condition", Spec("unet-condition", guidance=3.0)])
def test_the_networks_own_name_brings_no_weights(denoiser: Any) -> None:
    with pytest.raises(BuildError, match="weights: sd-warp has none of its own, expected a folder of diffusers"):
        build("sd-warp", denoiser=denoiser)


def test_what_is_varied_may_leave_out_what_the_preset_has() -> None:
    slot, values = parse("sampler=ddim(eta=0.5),ddim,preset")
    assert [spelled(value) for value in values] == ["ddim(eta=0.5)", "ddim", "preset"]
    with pytest.raises(TypeError, match=r"has no setting 'etta'. Did you mean 'eta'\?"):
        check_vary({slot: [Spec("ddim", etta=0.5)]})
    with pytest.raises(TypeError, match="eta: expected float"):
        check_vary({slot: [Spec("ddim", eta="much")]})


@pytest.mark.parametrize(
    "part",
    [
        NESTED,
        Spec("control", network="folder", beside=Spec("cross-attention", contrast=1.0, layers=("up_blocks.2",))),
        Spec("graft", matcher=Spec("optimal-transport", epsilon=0.02), confidence="cycle-released"),
        Spec("ddim", timesteps=(700,), schedule="flow:3.0", eta=-1.5e-3),
        Spec("local", prior=Spec("local", prior="mutual-nearest"), temperature=float("inf")),
        Spec("a", text='it\'s (a), "b-c"', none=None, empty=(), dictionary={"a-b": 1, "c": (2, 3)}),
    ],
)
def test_a_part_is_read_as_it_is_shown(part: Spec) -> None:
    assert parse_value(part.typed()) == part


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("graft(matcher=optimal-transport)", Spec("graft", matcher="optimal-transport")),
        ("control(beside=cross-attention(contrast=1))", Spec("control", beside=Spec("cross-attention", contrast=1))),
        ("x(of=(cycle-released, cycle(radius=1e-2)))", Spec("x", of=("cycle-released", Spec("cycle", radius=0.01)))),
        ("x(schedule=flow:3.158, layers=(up_blocks.2,))", Spec("x", schedule="flow:3.158", layers=("up_blocks.2",))),
    ],
)
def test_names_within_settings_are_as_names_outside(typed: str, meant: Spec) -> None:
    assert parse_value(typed) == meant
