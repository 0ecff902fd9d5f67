"""Metrics of two sets, each against somebody else's implementation or a closed form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import ot
import pytest
import torch
import torch.nn.functional as F
import torch_fidelity.feature_extractor_inceptionv3 as inception
from scipy import linalg, ndimage
from torch import Tensor, nn
from torch_fidelity.metric_prc import prc_features_to_metric
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from midms import create
from midms.core.metrics import Compared, MetricError, SetMetric
from midms.evaluation.metrics.extractors import Extractor, ExtractorError, find_extractor
from midms.evaluation.metrics.frechet import FrechetDistance, Moments, frechet
from midms.evaluation.metrics.kept import Kept
from midms.evaluation.metrics.swd import laplacian_pyramid, sliced_wasserstein
from midms.testing.laws import normals

CORNER = Extractor("first pixels", lambda pictures: pictures[:, :, 0, :3].flatten(1))


def rows(seed: int, count: int) -> Tensor:
    """Nine numbers each, in [-1, 1], that depend on each other."""
    return (0.2 * normals(seed, count, 9) @ normals(100 + seed, 9, 9) + 0.1 * seed).clamp(-1, 1).float()


def pictures(features: Tensor) -> Tensor:
    """Pictures whose first pixels are these."""
    return features.view(-1, 3, 1, 3).expand(-1, 3, 8, 3)


def measured(metric: SetMetric, results: Tensor, real: Tensor) -> dict[str, float]:
    for name, all_ in (("result", results), ("real", real)):
        for start, some in enumerate(all_.split(16)):
            keys = tuple(f"{name} {start} {i}" for i in range(len(some)))
            metric.update(Compared(keys, **{name: some}))
    return dict(metric.compute())


class Seen(nn.Module):
    """Takes features for pictures, as torchmetrics wants a network."""

    num_features = 9

    def forward(self, features: Tensor) -> Tensor:
        return features.float().view(len(features), -1)[:, :9]


def test_of_two_gaussians_it_is_the_formula() -> None:
    """Diagonal covariances commute: |m1 - m2|^2 + sum (s1 - s2)^2; any others by SciPy's root of a matrix."""
    means, deviations = normals(0, 2, 6), normals(1, 2, 6).abs()
    found = frechet(means[0], deviations[0].square().diag(), means[1], deviations[1].square().diag())
    assert found == pytest.approx(float((means[0] - means[1]).square().sum() + (deviations.diff(dim=0) ** 2).sum()))
    roots = normals(2, 2, 6, 6)
    one, other = roots[0] @ roots[0].T, roots[1] @ roots[1].T
    both = np.trace((one + other).numpy() - 2 * linalg.sqrtm((one @ other).numpy()).real)
    assert frechet(means[0], one, means[0], other) == pytest.approx(both)


def test_frechet_distance_is_torchmetrics_on_the_same_features() -> None:
    one, other = rows(0, 50), rows(1, 70)
    theirs = FrechetInceptionDistance(Seen(), normalize=True)
    theirs.update(one, real=False)
    theirs.update(other, real=True)
    found = measured(create("metric", "frechet-distance", extractor=CORNER), pictures(one), pictures(other))
    assert found == {"frechet-distance (first pixels)": pytest.approx(theirs.compute().item(), rel=1e-3)}


def test_moments_of_pieces_are_those_of_the_whole() -> None:
    moments, whole = Moments(), rows(2, 40)
    for piece in whole.split(7):
        moments.add(piece)
    mean, covariance = moments.gaussian()
    np.testing.assert_allclose(mean, whole.double().mean(0), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(whole.double().numpy().T), rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save")
def test_kernel_distance_is_torchmetrics_on_the_same_features() -> None:
    one, other = rows(0, 50), rows(1, 50)
    theirs = KernelInceptionDistance(Seen(), subsets=1, subset_size=50, normalize=True)
    theirs.update(one, real=False)
    theirs.update(other, real=True)
    found = measured(create("metric", "kernel-distance", extractor=CORNER), pictures(one), pictures(other))
    assert found == {"kernel-distance (first pixels)": pytest.approx(theirs.compute()[0].item(), rel=1e-3)}


def test_precision_and_recall_are_torch_fidelitys() -> None:
    one, other = rows(0, 60), 0.7 * rows(0, 125)[60:]
    theirs = prc_features_to_metric(one, other, prc_neighborhood=3, prc_batch_size=50, verbose=False)
    found = measured(create("metric", "precision-recall", extractor=CORNER), pictures(one), pictures(other))
    assert 0.1 < found["precision (first pixels)"] < 1
    assert found == {
        f"{name} (first pixels)": pytest.approx(theirs[name], abs=1e-6) for name in ("precision", "recall")
    }


def pyramid(picture: np.ndarray) -> list[np.ndarray]:
    """PGGAN's of one channel, by SciPy."""
    row = np.array([1, 4, 6, 4, 1]) / 16
    kernel, levels = np.outer(row, row), [picture]
    while len(levels[-1]) > 16:
        smaller = ndimage.convolve(levels[-1], kernel, mode="mirror")[::2, ::2]
        spread = np.zeros_like(levels[-1])
        spread[::2, ::2] = smaller
        levels[-1] = levels[-1] - ndimage.convolve(spread, 4 * kernel, mode="mirror")
        levels.append(smaller)
    return levels


def test_the_pyramid_is_pggans() -> None:
    picture = normals(0, 1, 3, 64, 64)
    for level, channels in enumerate(zip(*(pyramid(channel.numpy()) for channel in picture[0]), strict=True)):
        np.testing.assert_allclose(laplacian_pyramid(picture)[level][0], np.stack(channels), atol=1e-12)


def test_sliced_wasserstein_is_pots_on_each_line() -> None:
    """On one axis the line is all there is; on several, POT finds the distance on each."""
    one, other = normals(0, 200, 1), 0.5 * normals(1, 200, 1) + 1
    exact = ot.wasserstein_1d(one[:, 0].numpy(), other[:, 0].numpy(), p=1)
    assert sliced_wasserstein(one, other, 8, 2, 0) == pytest.approx(float(exact))
    one, other = normals(2, 100, 5), normals(3, 100, 5) + 0.3
    lines = torch.nn.functional.normalize(torch.randn(5, 16, generator=torch.Generator().manual_seed(4)), dim=0)
    each = ot.wasserstein_1d((one @ lines.double()).numpy(), (other @ lines.double()).numpy(), p=1)
    assert sliced_wasserstein(one, other, 16, 1, 4) == pytest.approx(float(each.mean()))


def test_swd_sees_what_is_finer_or_coarser() -> None:
    """Noise of single pixels is far from a picture at the finest level, and its blur at the coarsest."""
    smooth = torch.nn.functional.interpolate(normals(0, 12, 3, 4, 4).float(), (64, 64), mode="bicubic").clamp(-1, 1)
    noisy = (smooth + 0.5 * normals(1, 12, 3, 64, 64).float()).clamp(-1, 1)
    found = measured(create("metric", "swd", size=64), noisy, smooth)
    assert found["SWD of 64 pixels"] > 3 * found["SWD of 16 pixels"] > 0
    assert found["SWD at 64"] == pytest.approx(np.mean([found[f"SWD of {side} pixels"] for side in (64, 32, 16)]))


def test_swd_does_not_depend_on_names() -> None:
    """Results of the names of real pictures are cut at other places than these, as PGGAN does it."""
    one, other = (F.interpolate(normals(i, 12, 3, 6, 6).float(), (32, 32), mode="bicubic").clamp(-1, 1) for i in (0, 1))
    metric = create("metric", "swd", size=32)
    for name, some in (("result", one), ("real", other)):
        metric.update(Compared(tuple(map(str, range(12))), **{name: some}))
    expected = measured(create("metric", "swd", size=32), one, other)
    assert metric.compute() == pytest.approx(expected, rel=1e-5)


def test_what_is_kept_is_bounded_and_does_not_depend_on_order() -> None:
    keys, values = [f"picture {i}" for i in range(300)], torch.arange(300.0)[:, None]
    kept, backwards = Kept(20), Kept(20)
    kept.add(keys, values)
    backwards.add(keys[::-1], values.flip(0))
    assert len(kept) == 20 and torch.equal(kept.rows(), backwards.rows())
    assert torch.equal(kept.rows(5), kept.rows()[:5]) and kept.rows().std() > 40


@pytest.mark.parametrize("name", ["frechet-distance", "kernel-distance", "precision-recall"])
def test_one_picture_is_no_set(name: str) -> None:
    with pytest.raises(MetricError, match=r"expected at least \d pictures on each side, got 1"):
        measured(create("metric", name, extractor=CORNER), pictures(rows(0, 1)), pictures(rows(0, 9)))


def test_with_inceptions_weights_it_is_fid_as_torch_fidelity_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features are those of torch-fidelity, of weights that were drawn at random, on the same bytes."""
    with monkeypatch.context() as patch:
        patch.setattr(inception, "load_state_dict_from_url", lambda *given, **more: {})
        patch.setattr(inception.FeatureExtractorInceptionV3, "load_state_dict", lambda *given: None)
        theirs = inception.FeatureExtractorInceptionV3("x", ["2048"])
    torch.save(theirs.state_dict(), tmp_path / "inception.pth")
    found = find_extractor(f"inception:{tmp_path / 'inception.pth'}")
    image = normals(0, 2, 3, 40, 30).float().clamp(-1, 1)
    expected = theirs(((image + 1) * 127.5).round().to(torch.uint8))[0]
    torch.testing.assert_close(found(image), expected.double())
    assert FrechetDistance(found).name == "FID (Inception v3 of torch-fidelity, 299 pixels)"
    assert create("metric", "kernel-distance", extractor=found).name.startswith("KID (Inception")


def test_no_other_extractor_is_called_fid() -> None:
    assert FrechetDistance().name == "frechet-distance (EfficientNet-Lite0 of ImageNet, 224 pixels)"
    assert create("metric", "kernel-distance", extractor="hed").name.startswith("kernel-distance (VGG16 of HED")


def test_an_extractor_that_cannot_be_had_says_why(tmp_path: Path) -> None:
    wrong: dict[str, Any] = {"weights.pth": {"a": torch.ones(2)}, "number.pth": 3}
    for name, content in wrong.items():
        torch.save(content, tmp_path / name)
    (tmp_path / "text.pth").write_text("no weights")
    for choice, said in {
        "fid": r"expected efficientnet-lite0, hed, inception:FILE or timm:NAME, got 'fid'",
        "inception:": r"expected efficientnet-lite0",
        f"inception:{tmp_path / 'none.pth'}": r"none\.pth: no such file of weights",
        f"inception:{tmp_path / 'text.pth'}": r"text\.pth: not a file of weights",
        f"inception:{tmp_path / 'number.pth'}": r"number\.pth: expected tensors by name",
        f"inception:{tmp_path / 'weights.pth'}": r"weights\.pth: not Inception's weights",
    }.items():
        with pytest.raises(ExtractorError, match=said) as error:
            find_extractor(choice)
        assert "\n" not in str(error.value)
