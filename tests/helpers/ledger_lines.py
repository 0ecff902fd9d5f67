"""Lines of an ablation's ledger: a run as it should be, and what is no run."""

from __future__ import annotations

import json
import math
from typing import Any

from midms.evaluation.ablation.ledger import ALWAYS, COST, SOMETIMES

RUN: dict[str, Any] = {"id": "1", "run": {"matcher": "nearest"}, "refused": "it does not fit"}
FIGURES = {name: 1.0 for name in (*ALWAYS, *COST, *SOMETIMES)}
DAMAGED = [
    "not json", "[1]", "1", "null", '"x"', "{}", '{"id": 1, "run": {}}', '{"id": "1"}', '{"id": "1", "run": []}',
    '{"id": "1", "run": {"matcher": 1}}', '{"id": "1", "run": {}, "figures": [1]}',
    '{"id": "1", "run": {}, "error": 1}',
    '{"id": "1", "run": {}, "figures": {"PSNR": "high"}}', '{"id": "1", "run": {}, "each": {"PSNR": 1}}', "[" * 100_000,
    '{"id": "1", "run": {}, "notes": "x"}', '{"id": "1", "run": {}, "refused": {}}', '{"id": null, "run": {}}', "\x00",
    '{"id": "1", "run": {"matcher": {"a": []}}}', '{"run": {}}', '{"id": "1", "run": {}}',
    '{"id": "1", "run": {}, "error": "", "refused": ""}', '{"id": "1", "run": {}, "figures": {}}',
    *(
        json.dumps({"id": "1", "run": {}, "figures": {name: value for name, value in (FIGURES | odd).items() if value}})
        for odd in ({"PSNR": None}, {"AUROC": None}, {"SSIM": math.nan}, {"peak MB": math.inf}, {"EPE px": -math.inf})
    ),
]  # fmt: skip
