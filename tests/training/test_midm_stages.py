"""The stages `warmup` and `joint` on small parts; `tests/benchmarks/test_training_parity.py` has released numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import tiny_midm
import torch
from tiny_midm import pair, pipe, stage
from torch import Tensor, nn

from midms.compose.presets import PRESETS
from midms.core.layers import SpectralNorm, spectrally_normalized
from midms.data.pair import Pair
from midms.features.vgg_network import VGG, TrunkError
from midms.registry import BadArguments
from midms.training.plan import planned
from midms.training.stages import STAGES
from midms.training.train import _frozen


def seeds(*numbers: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(number) for number in numbers]


@pytest.fixture(scope="module")
def trunk() -> VGG:
    return tiny_midm.trunk()


def vectors(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items() if name.endswith(("_u", "_v"))}


def test_checkpointing_changes_nothing(trunk: VGG) -> None:
    """Loss and gradients to the bit, and each spectral norm's iterations once a call."""
    found = []
    for checkpointing in (False, True):
        one = stage(trunk, "joint", checkpointing=checkpointing)
        loss, terms = one(pair(), seeds(3, 4))
        loss.backward()
        gradients = {name: p.grad for name, p in one.named_parameters() if p.grad is not None}
        found.append((loss, terms, gradients, vectors(one)))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)
    trained = {name.split(".")[0] for name in found[0][2]}
    assert trained == {"features", "denoiser"}


@pytest.mark.parametrize("name", ["warmup", "joint"])
def test_spectral_norms_take_an_iteration_a_call(name: str) -> None:
    """The encoder of conditions once, that of pictures for both streams, that of x0 for both at each re-match."""
    one, calls = stage(None, name, {"cyc": 1.0}), dict.fromkeys(("seg_enc", "real_enc", "iter_enc"), 0)
    for encoder in calls:
        norms = [m for m in one.features.get_submodule(encoder).modules() if isinstance(m, SpectralNorm)]
        norms[0].register_forward_hook(lambda *_, encoder=encoder: calls.update({encoder: calls[encoder] + 1}))
    one(pair(), seeds(3, 4))[0].backward()
    assert calls == {"seg_enc": 1, "real_enc": 2, "iter_enc": 4 if name == "joint" else 0}
    still = vectors(one)
    figures, sheet = one.evaluate([pair(), pair(1)]), one.sheet(pair())
    made = ["first warp", *(["translation"] if name == "joint" else [])]
    assert [*figures] == [f"{one} psnr" for one in made] and all(3 < value < 30 for value in figures.values())
    assert [*sheet] == ["exemplar", *made, "target"] and {x.shape for x in sheet.values()} == {(2, 3, 32, 32)}
    assert one.features.training
    torch.testing.assert_close(vectors(one), still, rtol=0, atol=0)


def test_what_is_trained(trunk: VGG) -> None:
    warmup, joint = stage(trunk, "warmup"), stage(trunk, "joint")
    assert [*warmup.products()] == ["features"] and [*joint.products()] == ["features", "denoiser"]
    trained = {name.split(".")[1] for name, p in warmup.named_parameters() if p.requires_grad}
    assert trained == {"seg_enc", "real_enc", "layer", "theta", "phi"}
    for one in (warmup, joint):
        how = one.optimisation
        assert (how.learning_rate, how.weight_decay, how.cosine, how.average) == (3e-6, 0.05, False, 0)
        counted = sum(len(group["params"]) for group in one.parameter_groups())
        assert counted == sum(p.requires_grad for p in one.parameters())
        loss, terms = one(pair(), seeds(3, 4))
        loss.backward()
        lost = [name for name, p in one.named_parameters() if p.requires_grad and p.grad is None]
        assert lost == [], "DDP waits for each of them"
        weighted = sum(weight * terms[name] for name, weight in one.weights.items())
        torch.testing.assert_close(loss.detach(), weighted)


def test_terms_are_turned_off_by_name(trunk: VGG) -> None:
    one = stage(None, "joint", {"dom": 2.0, "perc": 0, "cyc_iter": 1.0})
    loss, terms = one(pair(), seeds(3, 4))
    assert terms.keys() == {"dom", "cyc_iter"}
    torch.testing.assert_close(loss.detach(), 2 * terms["dom"] + terms["cyc_iter"])
    for terms, said in (
        ({"domain": 1.0}, "no loss is called domain; there are dom, cyc"),
        ({"dom": 0.0}, "none of dom,"),
    ):
        with pytest.raises(BadArguments, match=said):
            stage(None, "joint", terms)
    labels = torch.randint(3, (2, 32, 32), generator=torch.Generator().manual_seed(0))
    maps = nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    given = dataclasses.replace(pair(), condition=maps, exemplar_condition=maps.flip(-1))
    assert 0 < stage(None, "warmup", {"seg": 100.0})(given)[1]["seg"] < 24


def test_presets_say_which_stages_there_are_and_options_go_where_they_count() -> None:
    for preset in ("midm-celeba", "midm-deepfashion", "midm-church"):
        warmup, joint = planned(preset, None, {"ctx": 0.5, "seg": 2.0}, Path("vgg.pth"))
        assert (warmup.name, joint.name) == ("warmup", "joint")
        assert all(spec.arguments["terms"] == {"ctx": 0.5, "seg": 2.0} for spec in (warmup, joint))
        assert all(spec.arguments["vgg19"] == "vgg.pth" for spec in (warmup, joint))
    assert "vgg19" not in planned("midm-celeba", "joint", {})[0].arguments
    with pytest.raises(BadArguments, match="--vgg19: changes nothing in --stage autoencoder"):
        planned("midm-small", "autoencoder", {}, Path("vgg.pth"))
    with pytest.raises(TrunkError, match=r"VGG19: none.pth: "):
        STAGES.create("warmup", pipe=pipe(), weights={"perc": 1.0}, vgg19="none.pth")


def test_each_picture_is_as_it_is_alone() -> None:
    """Its noise and the level of its x0 too: however a batch is shared out among processes."""
    one = stage(None, "joint", {"x0": 1.0, "cyc_iter": 1.0})
    one.features.eval()
    both = one(pair(), seeds(3, 4))[1]
    whole = [value for value in vars(pair()).values() if value is not None]
    alone = [one(Pair(*(value[i : i + 1] for value in whole)), seeds(3 + i))[1] for i in range(2)]
    for name, value in both.items():
        torch.testing.assert_close(value, sum(terms[name] for terms in alone) / 2, rtol=1e-4, atol=1e-6)


def test_bad_pairs_are_named() -> None:
    one, good = stage(None, "warmup", {"cyc": 1.0}), pair()
    less, fewer = (
        {"exemplar": good.exemplar[..., :28], "exemplar_condition": good.condition[..., :28]},
        good.condition[:, :2],
    )
    for fields, said in (
        (less, r"'exemplar': \(32, 28\), .* expect one size"),
        ({"target": good.target * torch.nan}, "target holds numbers that are not finite"),
        ({"condition": fewer, "exemplar_condition": fewer}, r"condition is .*, expected floats \[b, 3,"),
    ):
        with pytest.raises(ValueError, match=said):
            one(dataclasses.replace(good, **fields))


def test_spectral_norm_is_that_of_older_pytorch() -> None:
    """Its order of iterations, which is that of the article: what the released network was trained with."""
    torch.manual_seed(0)
    ours = spectrally_normalized(nn.Conv2d(3, 5, 3, bias=False))
    theirs = torch.nn.utils.spectral_norm(nn.Conv2d(3, 5, 3, bias=False))
    state = ours.state_dict()
    stem = "parametrizations.weight."
    theirs.load_state_dict(
        {
            "weight_orig": state[f"{stem}original"],
            "weight_u": state[f"{stem}0._u"],
            "weight_v": state[f"{stem}0._v"],
        }
    )
    x = torch.randn(2, 3, 6, 6)
    for training in (True, True, False):
        found, expected = ours.train(training)(x), theirs.train(training)(x)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
        ours.zero_grad(), theirs.zero_grad()
        found.square().sum().backward(), expected.square().sum().backward()
        torch.testing.assert_close(ours.parametrizations.weight.original.grad, theirs.weight_orig.grad)  # type: ignore[union-attr, operator]


def test_what_a_run_follows_from_includes_all_that_it_does_not_train() -> None:
    """So it is refused to go on from a checkpoint with another autoencoder of `--init`."""
    for name, expected in (("warmup", {"denoiser", "autoencoder"}), ("joint", {"autoencoder"})):
        made = pipe()
        one = STAGES.create(name, pipe=made, weights={"cyc": 1.0})
        assert {*_frozen(one, made, PRESETS["midm-celeba"])} == expected
