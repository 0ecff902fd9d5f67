"""Metrics of pairs, each against somebody else's implementation, a loop, or what is known of made matches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from torchmetrics.functional.image.lpips import _LPIPS

from midms import create
from midms.conditions.strokes import edges
from midms.core.metrics import Compared
from midms.evaluation.metrics.perceptual import vgg_trunk
from midms.evaluation.metrics.regions import region_similarity
from midms.features.vgg_network import TrunkError
from midms.images import resize
from midms.testing.laws import normals
from midms.testing.metrics import some_results

BATCH = some_results(32, 40)


def figures(name: str, batch: Compared = BATCH, **settings: object) -> dict[str, list[float]]:
    return {name: values.tolist() for name, values in create("metric", name, **settings)(batch).items()}


def test_psnr_is_scikit_images() -> None:
    assert BATCH.answer is not None and BATCH.result is not None
    scaled = [((x + 1) / 2).double().numpy() for x in (BATCH.answer, BATCH.result)]
    expected = [peak_signal_noise_ratio(a, b, data_range=1) for a, b in zip(*scaled, strict=True)]
    assert figures("psnr")["PSNR"] == pytest.approx(expected, rel=1e-5)


def test_ssim_is_scikit_images_with_the_window_of_the_article() -> None:
    assert BATCH.answer is not None and BATCH.result is not None
    scaled = [((x + 1) / 2).double().numpy() for x in (BATCH.answer, BATCH.result)]
    wang = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 0}
    expected = [structural_similarity(a, b, data_range=1, **wang) for a, b in zip(*scaled, strict=True)]
    assert figures("ssim")["SSIM"] == pytest.approx(expected, abs=1e-5)


@pytest.fixture(scope="module")
def vgg16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as torchvision's VGG16 is, with HED's numbers."""
    path, places = (
        tmp_path_factory.mktemp("vgg") / "vgg16.safetensors",
        [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28],
    )
    layers = zip(places, vgg_trunk("hed").convolutions, strict=True)
    save_file({f"features.{i}.{k}": v for i, layer in layers for k, v in layer.state_dict().items()}, path)
    return path


def test_with_vgg16_it_is_lpips_as_torchmetrics_has_it(vgg16: Path) -> None:
    assert BATCH.answer is not None and BATCH.result is not None
    theirs = _LPIPS(net="vgg", pnet_rand=True)
    slices = [layer for name, layer in theirs.net.named_modules() if isinstance(layer, torch.nn.Conv2d)]
    for layer, own in zip(slices, vgg_trunk("hed").convolutions, strict=True):
        layer.load_state_dict(own.state_dict())
    expected = theirs(BATCH.result, BATCH.answer).flatten().tolist()
    found = figures("perceptual-distance", vgg=str(vgg16))
    assert found == {"LPIPS (VGG16 of vgg16.safetensors)": pytest.approx(expected, rel=1e-4)}


def test_without_it_is_not_called_so(tmp_path: Path) -> None:
    assert [*figures("perceptual-distance")] == ["perceptual-distance (VGG16 of HED)"]
    trunk = vgg_trunk("hed")
    layers = zip(trunk.names, trunk.convolutions, strict=True)
    save_file(
        {f"conv{name}.{k}": v for name, x in layers for k, v in x.state_dict().items()}, tmp_path / "vgg.safetensors"
    )
    with pytest.raises(TrunkError, match="LPIPS needs torchvision's VGG16"):
        create("metric", "perceptual-distance", vgg=str(tmp_path / "vgg.safetensors"))
    assert [*figures("semantic-consistency", vgg=str(tmp_path / "vgg.safetensors"))] == [
        "semantic consistency by regions (VGG16 of vgg.safetensors)"
    ]


def cosine(a: Tensor, b: Tensor) -> float:
    return sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True)) / float(a.norm() * b.norm())


def test_regions_are_compared_one_by_one() -> None:
    """By a loop over cells, on labels as fine as the features."""
    one, other = normals(0, 5, 6, 7), normals(1, 5, 4, 9)
    labels, others = (normals(2, 6, 7) > 0).long() + 1, (normals(3, 4, 9) > 0.3).long() * 2
    assert {*labels.unique().tolist()} & {*others.unique().tolist()} == {2}
    a, b = one[:, labels == 2].mean(1), other[:, others == 2].mean(1)
    assert region_similarity(one, other, labels, others).item() == pytest.approx(cosine(a, b))
    others, total = others // 2 + 1, 0.0
    for label in (1, 2):
        a, b = one[:, labels == label].mean(1), other[:, others == label].mean(1)
        total += float((labels == label).double().mean()) * cosine(a, b)
    assert region_similarity(one, other, labels, others).item() == pytest.approx(total)
    assert region_similarity(one, other, labels, 0 * others).isnan()


def test_style_is_that_of_the_region_with_the_same_label() -> None:
    """A red and a green half, the halves exchanged: alike by regions, unlike where regions are exchanged too."""
    picture = torch.full((1, 3, 32, 32), -1.0)
    picture[:, 0, :, :16], picture[:, 1, :, 16:] = 1, 1
    labels = torch.zeros(1, 32, 32, dtype=torch.long)
    labels[..., 16:] = 1
    batch = Compared(("a",), result=picture, exemplar=picture.flip(-1), labels=labels, exemplar_labels=labels.flip(-1))
    right = figures("style-relevance", batch)
    wrong = figures("style-relevance", Compared(**{**vars(batch), "exemplar_labels": labels}))
    assert [*right] == [f"{what} relevance by regions (VGG16 of HED)" for what in ("colour", "texture")]
    assert all(right[name][0] > wrong[name][0] + 0.2 for name in right) and max(right.values())[0] > 0.99


def test_copied_content_is_the_correlation_of_edges_where_nothing_is_drawn() -> None:
    """By NumPy; 1 for the exemplar itself, about 0 for another picture, none where there is nothing to copy."""
    exemplar, result = (normals(seed, 1, 3, 64, 64).float().clamp(-1, 1) for seed in (0, 1))
    exemplar, result = (resize(resize(x, (16, 16)), (64, 64)) for x in (exemplar, result))
    blank = torch.ones(1, 3, 64, 64)
    expected = np.corrcoef(edges(result).flatten(), edges(exemplar).flatten())[0, 1]
    drawn = {"exemplar": exemplar, "condition": blank}
    assert figures("copied-content", Compared(("a",), result, **drawn))["copied content"] == [pytest.approx(expected)]
    assert abs(expected) < 0.3
    assert figures("copied-content", Compared(("a",), exemplar, **drawn))["copied content"] == [pytest.approx(1)]
    assert figures("copied-content", Compared(("a",), blank, **drawn))["copied content"] == [pytest.approx(0)]
    flat = Compared(("a",), result, exemplar=blank, condition=blank)
    assert np.isnan(figures("copied-content", flat)["copied content"]).all()
    half = exemplar.clone()
    half[..., :32] = result[..., :32]  # the right half is copied, and the condition draws all of it
    labels = torch.zeros(1, 64, 64, dtype=torch.long)
    labels[:, ::2, 24:] = 1
    (allowed,) = figures("copied-content", Compared(("a",), half, **drawn, labels=labels))["copied content"]
    assert abs(allowed) < 0.5 < figures("copied-content", Compared(("a",), half, **drawn))["copied content"][0]


def shifted(by: float, shape: tuple[int, int] = (20, 30)) -> Tensor:
    flow = torch.zeros(1, 2, *shape)
    flow[:, 0] = by
    return flow


def test_errors_of_a_match_are_in_pixels_and_shares() -> None:
    """A match that is off by 1 pixel of 30 in half of the picture and by 2 in the rest, where it is known."""
    exact = shifted(3.0)
    exact[..., 0, :] = torch.nan
    flow = shifted(4.0)
    flow[:, 0, :, 15:] += 1
    batch = Compared(("a",), flow=flow, exact_flow=exact)
    assert figures("epe", batch) == {"EPE in px of the exemplar": [pytest.approx(1.5)]}
    assert figures("pck", batch, radii=(0.02, 0.05, 0.07)) == {
        "PCK@0.02": [0.0],
        "PCK@0.05": [0.5],
        "PCK@0.07": [1.0],
    }


def test_keypoints_count_shares_of_the_objects_side() -> None:
    """As in SPair-71k: three points, one off by 4 pixels and right within a tenth of 40, one by 5."""
    points = torch.tensor([[[1.0, 2, 3, 2], [5, 6, 11, 6], [5.5, 9, 12.5, 9], [torch.nan] * 4]])
    batch = Compared(("a",), flow=shifted(2.0), keypoints=points, extent=torch.tensor([40.0]))
    assert figures("pck", batch, radii=(0.1,)) == {"PCK@0.1 at keypoints": [pytest.approx(2 / 3)]}
    assert figures("epe", batch) == {"EPE in px of the exemplar at keypoints": [pytest.approx(3.0)]}


def test_a_cycle_that_comes_back_has_no_error() -> None:
    """And one whose way back is 3 pixels too long has 3 of 30, away from the border."""
    there, back = shifted(0.0), shifted(3.0)
    assert figures("cycle", Compared(("a",), flow=there, flow_back=there))["cycle error"] == [
        pytest.approx(0, abs=1e-6)
    ]
    there[..., :5] = torch.nan
    found = figures("cycle", Compared(("a",), flow=there, flow_back=back))["cycle error"]
    assert found == [pytest.approx(3 / 30)]


def test_diversity_is_the_distance_of_results() -> None:
    ((name, found),) = figures("diversity").items()
    swapped = Compared(BATCH.keys, BATCH.result, answer=BATCH.other)
    assert name == "diversity (perceptual-distance (VGG16 of HED))"
    assert found == figures("perceptual-distance", swapped)["perceptual-distance (VGG16 of HED)"]


@pytest.mark.parametrize("name", ["psnr", "ssim", "copied-content", "cycle", "epe", "pck"])
def test_pictures_in_float64_give_the_same(name: str) -> None:
    given = {kind: value for kind, value in vars(BATCH).items() if isinstance(value, Tensor)}
    double = {kind: value.double() if value.is_floating_point() else value for kind, value in given.items()}
    found, expected = figures(name, Compared(BATCH.keys, **double)), figures(name)
    assert found == {figure: pytest.approx(values, rel=1e-4, nan_ok=True) for figure, values in expected.items()}
