"""What documents have one type."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "examples/plugin/README.md")),
]
_HUB = "weights from the hub, gigabytes"
_NPM = "fetches from npm"
_PACKAGED = "installs into the environment; tests/test_packaging.py does so elsewhere, and lists, compares and tests"
_RELEASED = "needs a released checkpoint, gigabytes; tests/checkpoints converts small ones in its format"
_VENV = {
    "make demo": "installs, downloads PyTorch; what it then types is tested as README's",
    ". .venv/bin/activate": "is about the shell that it is typed into",
}
NOT_RUN: dict[str, dict[str, str]] = {
    "README.md": _VENV
    | {
        "midms convert MIDMs.pth": _RELEASED,
        "midms train --data folder:PICTURES": "takes hours; docs/training.md has it too, whose test takes a step",
    },
    "CONTRIBUTING.md": {
        "make test": "is what runs this",
        "make lowest": "installs, downloads another PyTorch",
        "make docs": "executes every tutorial, which takes minutes",
        "make lint": "installs; runs no code of ours",
        "pre-commit install": "changes the hooks of the checkout",
    },
    "docs/app.md": {"make app": "installs, then serves until it is stopped; tests/cli/app starts the app"},
    "docs/diffusion_models.md": {
        "hf download": _HUB,
        "import torch\nfrom midms.diffusers": f"{_HUB}; tests/test_diffusers.py has tiny ones",
    },
    "docs/evaluation.md": {
        "midms evaluate results --against photos --out report --metrics fid,kid": "needs weights of Inception",
        "midms evaluate results --pairs pairs.csv --out report --metrics lpips": "needs weights of VGG",
    },
    "docs/faces.md": {
        "midms train --data \"portraits(variety='wide'": "takes hours, and at this size a step takes long too",
    },
    "docs/lineart.md": {
        "npm pack ": _NPM,
        "midms train --data lineart:package": "takes hours; a step of that of docs/training.md is run",
    },
    "docs/released.md": {
        "midms convert MIDMs.pth": _RELEASED,
        "midms convert model.ckpt": _RELEASED,
        "midms train --data celebahq-edge": "needs CelebAMask-HQ and released weights",
        'pipe = build("midm-celeba"': _RELEASED,
        "from midms.diffusion.speed": "goes on with that pipeline; xformers is for GPUs",
    },
    "docs/scale.md": {
        "torchrun ": "needs four GPUs",
        "accelerate ": "needs four GPUs",
        "midms translate --pairs pairs.csv --out results --batch 16 --resume --ray auto": "needs a cluster of Ray",
    },
    "docs/training.md": {
        "npm pack ": f"{_NPM}; a package in the same layout stands for it",
        "npm install ": _NPM,
        "node ": "needs Node and the package",
        "midms train --data pairs:faces3000/pairs.csv ": "trains on what Node makes",
        "python -m benchmarks.translation runs/files ": "measures that",
    },
    "docs/tutorials/start.md": _VENV,
    "docs/tutorials/stable_diffusion.md": {
        "midms translate --preset sd-warp --weights OWNER/NAME": f"{_HUB}; the page goes on with tiny ones",
    },
    "examples/plugin/README.md": {
        "pip install . pytest": _PACKAGED,
        "midms list matcher": _PACKAGED,
        "midms translate --matcher greedy": "needs the package installed; tests/test_packaging.py compares its matcher",
        "midms ablate ": _PACKAGED,
        "pytest": _PACKAGED,
    },
}
"""Document to how those of its commands and blocks of Python begin that its test does not run, and why."""
TYPED = re.compile(r"^(?:(?:torchrun|accelerate launch) .*?-m )?midms (.*)$", re.MULTILINE)


def blocks(path: Path, *languages: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text(), re.DOTALL | re.MULTILINE)
    return [text.replace("\\\n", " ") for kind, text in found if kind in languages]


def commands(path: Path) -> list[list[str]]:
    """Without the programs that launch them, and what a shell would fill in."""
    lines = [line for block in blocks(path, "", "bash") for line in TYPED.findall(block)]
    return [shlex.split(line.replace("$style", "0.5"), comments=True) for line in lines]


def lines(path: Path) -> list[str]:
    """All that one types into a shell; in tutorials that are cells, which `make docs` runs, are left out."""
    shells = ("", "sh", "shell", "console") + (() if path.parent.name == "tutorials" else ("bash",))
    return [line.strip() for block in blocks(path, *shells) for line in block.splitlines() if line.strip()]


def to_run(path: Path, found: list[str]) -> list[str]:
    """Those lines or blocks of a document that NOT_RUN does not have."""
    return [text for text in found if not text.startswith((*NOT_RUN.get(str(path.relative_to(ROOT)), {}),))]
