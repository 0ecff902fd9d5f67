"""Matchers, by registry key, and the matches that they give. Importing this imports none of them."""

from midms.registry import Registry

MATCHERS = Registry("matcher", "midms.matchers")
MATCHERS.row(
    "correlation",
    "midms.matching.matchers.correlation:Correlation",
    "softmax of cosine correlation (MIDMs, arXiv:2209.11047)",
)
MATCHERS.row(
    "optimal-transport",
    "midms.matching.matchers.optimal_transport:OptimalTransport",
    "entropic transport by log-domain Sinkhorn, balanced or not (Cuturi 2013, arXiv:1306.0895)",
)
MATCHERS.row(
    "unbalanced-transport",
    "midms.matching.matchers.optimal_transport:unbalanced",
    "entropic transport that may keep what has no counterpart (UNITE, arXiv:2106.10482)",
)
MATCHERS.row(
    "dual-softmax",
    "midms.matching.matchers.dual_softmax:DualSoftmax",
    "softmax over the exemplar times softmax over the condition (LoFTR, Sun et al. 2021, arXiv:2104.00680)",
)
MATCHERS.row(
    "nearest",
    "midms.matching.matchers.nearest:Nearest",
    "the most similar cell, exactly (Barnes et al. 2009)",
)
MATCHERS.row(
    "mutual-nearest",
    "midms.matching.matchers.mutual_nearest:MutualNearest",
    "cells that are each other's most similar (Rocco et al. 2018, arXiv:1810.10510)",
)
MATCHERS.row(
    "cocosnet",
    "midms.matching.matchers.cocosnet:CoCosNet",
    "softmax of the correlation of 3 x 3 patches (CoCosNet, Zhang et al. 2020, arXiv:2004.05571)",
)
MATCHERS.row(
    "top-k",
    "midms.matching.matchers.top_k:TopK",
    "attention inside the most similar blocks (RABIT, Zhan et al. 2021, arXiv:2107.03021)",
)
MATCHERS.row(
    "local",
    "midms.matching.matchers.local:Local",
    "softmax in a window around a prior flow (GLU-Net, arXiv:1912.05524)",
)
MATCHERS.row(
    "patchmatch",
    "midms.matching.matchers.patchmatch:PatchMatch",
    "propagate and evaluate, coarse to fine (CoCosNet v2, Zhou et al. 2021, arXiv:2012.02047)",
)
MATCHERS.row(
    "cost-aggregation",
    "midms.matching.matchers.cost_aggregation:CostAggregation",
    "four-dimensional correlation refined by its neighbours (NCNet, arXiv:1810.10510)",
)
MATCHERS.row(
    "semantic",
    "midms.matching.matchers.semantic:Semantic",
    "any matcher restricted to equal labels (Luan et al. 2017, arXiv:1703.07511)",
)
MATCHERS.row(
    "attention",
    "midms.matching.matchers.attention:DotProductAttention",
    "softmax of inner products, as attention layers have it (Vaswani et al. 2017, arXiv:1706.03762)",
)
