"""Deep features of results against those of exemplars and answers, region by region, as CoCosNet measures them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from midms.core.metrics import Compared
from midms.evaluation.metrics.perceptual import HED, trunk_name, vgg_trunk


def region_similarity(
    one: Float[Tensor, "d h w"],
    other: Float[Tensor, "d H W"],
    labels: Int[Tensor, "y x"] | None = None,
    other_labels: Int[Tensor, "Y X"] | None = None,
) -> Float[Tensor, ""]:
    """Cosine of the mean features of each region that both have, weighted by its area in the first; NaN for no region.

    Args:
        one: features of a picture.
        other: features of another.
        labels: of the first picture's pixels; None takes both pictures whole.
        other_labels: of the other's.
    """
    if labels is None or other_labels is None:
        return F.cosine_similarity(one.mean((1, 2)), other.mean((1, 2)), dim=0)
    common = sorted({*labels.unique().tolist()} & {*other_labels.unique().tolist()})
    if not common:
        return one.new_tensor(torch.nan)
    (means, areas), (others, _) = _regions(one, labels, common), _regions(other, other_labels, common)
    return (F.cosine_similarity(means, others, dim=1) * areas).sum() / areas.sum()


def _regions(
    features: Float[Tensor, "d h w"], labels: Int[Tensor, "y x"], chosen: list[int]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, " n"]]:
    """The mean of features over each region, each cell by how much of it is the region's; and areas."""
    wanted = torch.tensor(chosen, device=labels.device).view(-1, 1, 1)
    shares = F.interpolate((labels == wanted).to(features)[None], features.shape[-2:], mode="area")[0].flatten(1)
    areas = shares.sum(1)
    return (shares @ features.flatten(1).T) / areas[:, None].clamp(min=1e-12), areas


def _similarities(
    layers: Sequence[tuple[Tensor, Tensor]], labels: Tensor | None, others: Tensor | None
) -> list[Float[Tensor, " b"]]:
    """`region_similarity` of each layer, picture by picture."""
    return [
        torch.stack(
            [
                region_similarity(one[i], other[i], *(None if x is None else x[i] for x in (labels, others)))
                for i in range(len(one))
            ]
        )
        for one, other in layers
    ]


class StyleRelevance:
    """How like its exemplar a result is in colour and in texture.

    Zhang et al. 2020, CoCosNet, arXiv:2004.05571, sec. 4: cosines of mean features of VGG, of relu1_2 for colour and of
    relu2_2 for texture; where both have labels, of the regions of one label, weighted by their areas, else of the whole
    pictures.

    To choose where the exemplar alone is known.

    Args:
        vgg: a file of weights, such as CoCosNet's VGG19; "hed" for the VGG16 of HED.

    Raises:
        TrunkError: there are no such weights.
    """

    needs, uses, ideal = ("result", "exemplar"), ("labels", "exemplar_labels"), 1.0

    def __init__(self, vgg: str = HED) -> None:
        self.trunk, self.name = vgg_trunk(vgg), trunk_name(vgg)

    @torch.inference_mode()
    def __call__(self, batch: Compared) -> dict[str, Float[Tensor, " b"]]:
        """Two figures."""
        layers = ("relu1_2", "relu2_2")
        assert batch.result is not None and batch.exemplar is not None
        seen = [self.trunk.to(x)(x.clamp(-1, 1), layers) for x in (batch.result, batch.exemplar)]
        labelled = batch.has(("labels", "exemplar_labels"))
        labels = (batch.labels, batch.exemplar_labels) if labelled else (None, None)
        found = _similarities([*zip(*seen, strict=True)], *labels)
        where = _where(labelled)
        return {
            f"{what} relevance{where} ({self.name})": values
            for what, values in zip(("colour", "texture"), found, strict=True)
        }


class SemanticConsistency:
    """How like its answer a result is in what it shows.

    Zhang et al. 2020, CoCosNet, arXiv:2004.05571, sec. 4: as `StyleRelevance`, with the answer in the exemplar's place;
    the mean over relu3_2, relu4_2 and relu5_2.

    To choose where the answer is known, and what is shown counts more than each pixel.

    Args:
        vgg: a file of weights, such as CoCosNet's VGG19; "hed" for the VGG16 of HED.

    Raises:
        TrunkError: there are no such weights.
    """

    needs, uses, ideal = ("result", "answer"), ("labels",), 1.0

    def __init__(self, vgg: str = HED) -> None:
        self.trunk, self.name = vgg_trunk(vgg), trunk_name(vgg)

    @torch.inference_mode()
    def __call__(self, batch: Compared) -> dict[str, Float[Tensor, " b"]]:
        """One figure."""
        layers = ("relu3_2", "relu4_2", "relu5_2")
        assert batch.result is not None and batch.answer is not None
        seen = [self.trunk.to(x)(x.clamp(-1, 1), layers) for x in (batch.result, batch.answer)]
        found = _similarities([*zip(*seen, strict=True)], batch.labels, batch.labels)
        return {f"semantic consistency{_where(batch.labels is not None)} ({self.name})": torch.stack(found).mean(0)}


def _where(labelled: bool) -> str:
    return " by regions" if labelled else ""
