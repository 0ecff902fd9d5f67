"""What may be wrong with a checkpoint of training, by place and value."""

from __future__ import annotations

import copy
from typing import Any

import torch

NAN = torch.full((2, 2), float("nan"))
ENDLESS: list[Any] = [1]
for _ in range(60):
    ENDLESS = [ENDLESS, ENDLESS]
DAMAGE: dict[str, tuple[list[Any], Any]] = {
    "step: text": (["step"], "1"),
    "step: negative": (["step"], -1),
    "step: beyond": (["step"], 10**9),
    "step: none": (["step"], None),
    "step: Boolean": (["step"], True),
    "losses: number": (["losses"], 1),
    "losses: too few": (["losses"], []),
    "losses: NaN": (["losses"], [{"loss": float("nan")}]),
    "losses: ragged": (["losses"], [{}]),
    "losses: words": (["losses"], [{"loss": "x"}]),
    "seconds: negative": (["seconds"], -1.0),
    "seconds: infinite": (["seconds"], float("inf")),
    "settings: list": (["settings"], []),
    "settings: tensor": (["settings", "steps"], torch.ones(2)),
    "settings: endless": (["settings", "steps"], ENDLESS),
    "settings: other": (["settings", "steps"], 4),
    "network: list": (["network"], []),
    "network: NaN": (["network", "weight"], NAN),
    "network: number": (["network", "weight"], 1),
    "network: shape": (["network", "weight"], torch.ones(3, 2)),
    "network: whole numbers": (["network", "weight"], torch.ones(2, 2, dtype=torch.int64)),
    "network: more": (["network", "x"], torch.ones(1)),
    "averaged: NaN": (["averaged", "module.weight"], NAN),
    "averaged: empty": (["averaged"], {}),
    "optimiser: empty": (["optimiser"], {}),
    "optimiser: NaN": (["optimiser", "state", 0, "exp_avg"], NAN),
    "optimiser: shape": (["optimiser", "state", 0, "exp_avg"], torch.ones(9)),
    "optimiser: parameters": (["optimiser", "state", 7], {"exp_avg": torch.ones(1)}),
    "optimiser: no moments": (["optimiser", "state"], {}),
    "optimiser: one is missing": (["optimiser", "state", 0], {"step": torch.tensor(1.0), "exp_avg": torch.ones(2, 2)}),
    "optimiser: one parameter's are missing": (["optimiser", "state", 1], None),
    "optimiser: step": (["optimiser", "state", 0, "step"], torch.tensor(-1.0)),
    "optimiser: scalar": (["optimiser", "state", 0, "exp_avg"], torch.tensor(0.0)),
    "network: expanded": (["network", "weight"], torch.zeros(1).expand(2**40)),
    "network: without numbers": (["network", "weight"], torch.ones(2, 2, device="meta")),
    "network: nested": (["network", "weight"], torch.nested.nested_tensor([torch.ones(2)], layout=torch.jagged)),
    "network: sparse": (["network", "weight"], torch.eye(2).to_sparse()),
    "optimiser: settings": (["optimiser", "param_groups", 0, "weight_decay"], -5.0),
    "unknown": (["x"], 1),
}


def put(content: dict[str, Any], keys: list[Any], value: Any) -> dict[str, Any]:
    """Nested mappings and lists with another value at a place, or without it if the value is None."""
    changed = place = copy.deepcopy(content)
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    if value is None:
        del place[keys[-1]]
    return changed
