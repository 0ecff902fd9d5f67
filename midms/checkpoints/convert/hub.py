"""Folders of ours and of diffusers on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from midms.checkpoints.card import CARD
from midms.checkpoints.convert.text_encoders import INDEX_FILE
from midms.checkpoints.convert.weights import ENCODER, NETWORK
from midms.checkpoints.folder import CONFIG, read_folder
from midms.core.tensors import CheckpointError

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
FOLDERS = ("unet", "transformer", "vqvae", "vae")
ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")
CONFIGS = [
    *(CONFIG, INDEX_FILE, "scheduler/scheduler_config.json"),
    *(f"{part}/config.json" for part in (*FOLDERS, *ENCODERS)),
    *(f"{encoder.replace('text_encoder', 'tokenizer')}/*" for encoder in ENCODERS),
]
_KINDS = tuple((variant, kind) for variant in ("", ".*") for kind in ("safetensors", "bin"))
"""Of files of weights, in the order in which they are asked for."""


def fetch(name: str) -> Path:
    """The folder that a hub id stands for, from the cache or the hub: configurations, and weights of one kind a part.

    Raises:
        CheckpointError: it cannot be had; the message says which local folder would do.
    """
    from huggingface_hub import snapshot_download

    lacking: tuple[str, ...] = (*FOLDERS, *ENCODERS)
    try:
        for variant, kind in _KINDS:
            patterns = [pattern for part in lacking for pattern in _weights(part, variant, kind)]
            folder = Path(snapshot_download(name, allow_patterns=[*CONFIGS, *patterns]))
            if (folder / CONFIG).is_file():  # one of ours
                return Path(
                    snapshot_download(name, allow_patterns=[CONFIG, *read_folder(folder).recipe.weights.values()])
                )
            lacking = tuple(
                part for part in lacking if (folder / part).is_dir() and not _has(folder, part, variant, kind)
            )
            if not lacking:
                break
    except CheckpointError:
        raise
    except Exception as error:  # a network, a proxy or a server may raise anything
        raise CheckpointError(
            f"{name}: is no folder here, and cannot be had from the hub ({_one_line(error)}); "
            "a local copy of its folder would do, "
            "one that midms wrote, or with unet/ or transformer/, vqvae/ or vae/, and scheduler/ in it; of one that "
            "takes prompts text_encoder/ and tokenizer/ too, and those with _2 and _3"
        ) from None
    return folder


def _weights(part: str, variant: str, kind: str) -> list[str]:
    """A file of weights, an index of several, and those."""
    stem = NETWORK[0] if part in FOLDERS else ENCODER[kind == "bin"]
    names = (f"{stem}{variant}.{kind}", f"{stem}.{kind}.index{variant}.json", f"{stem}-*.{kind}")
    return [f"{part}/{name}" for name in names]


def _has(folder: Path, part: str, variant: str, kind: str) -> bool:
    return any([*folder.glob(pattern)] for pattern in _weights(part, variant, kind)[:2])


def push(folder: Path, name: str, private: bool | None, message: str) -> str:
    """Put a folder of ours on the hub, as one commit: other weights there go, a README.md there stays.

    Returns:
        The address of the commit.

    Raises:
        CheckpointError: the hub refuses, or cannot be reached.
    """
    from huggingface_hub import HfApi

    if not HUB_ID.fullmatch(name):
        raise CheckpointError(f"repo_id: expected OWNER/NAME, got {name!r}")
    api = HfApi()
    try:
        api.create_repo(name, private=private, exist_ok=True)
        kept = [CARD] if api.file_exists(name, CARD) else None
        return str(
            api.upload_folder(
                repo_id=name,
                folder_path=folder,
                commit_message=message,
                ignore_patterns=kept,
                delete_patterns="*.safetensors",
            )
        )
    except Exception as error:  # a network, a proxy or a server may raise anything
        raise CheckpointError(f"{name}: cannot be put on the hub ({_one_line(error)})") from None


def _one_line(error: Exception) -> str:
    """The first sentence."""
    return re.split(r"(?<=[.!?]) ", " ".join(str(error).split()))[0] or type(error).__name__
