"""Prompts through the text encoders in a folder of diffusers, each as the pipeline of its family embeds them.

The encoders are transformers' own classes. They are read when a prompt is embedded and not kept.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.checkpoints.convert.weights import tensors, weights_of
from midms.core.schema import read_json
from midms.core.tensors import CheckpointError, outline, refuse, unlike
from midms.core.torch_defaults import defaults

T5_TOKENS = {"sd3": 256, "flux": 512}
"""Tokens of a prompt that T5 is given, as diffusers' pipelines have it."""
_PREFIX, _PLACES, _TIED = "text_model.", "position_ids", ("shared.weight", "encoder.embed_tokens.weight")
"""What names begin with in some versions of transformers; what is no weight; what T5 has under two names, or one."""


class Embedded(NamedTuple):
    """What CLIP makes of prompts."""

    last: Float[Tensor, "b n d"]
    penultimate: Float[Tensor, "b n d"]
    whole: Float[Tensor, "b p"]


def encoder_folders(family: str, second: bool) -> tuple[str, ...]:
    """The folders of text encoders that a family must have.

    Args:
        family: the denoiser's name.
        second: whether its network takes the embedding of a whole prompt, too.
    """
    if family == "unet-condition":
        return ("text_encoder", "text_encoder_2") if second else ("text_encoder",)
    return ("text_encoder", "text_encoder_2")


def check_encoders(path: Path, folders: Sequence[str]) -> None:
    """Find out whether prompts can be embedded.

    Raises:
        CheckpointError: transformers is not installed, or a folder lacks an encoder or its tokenizer.
    """
    if importlib.util.find_spec("transformers") is None:
        raise CheckpointError(f"{path}: its prompts are embedded by transformers: pip install 'midms[diffusion]'")
    needed = [folder.replace("text_encoder", kind) for folder in folders for kind in ("text_encoder", "tokenizer")]
    if lacking := [folder for folder in needed if not (path / folder).is_dir()]:
        raise CheckpointError(f"{path}: has no {'/, no '.join(lacking)}/, expected those of the whole pipeline")


def clip_tokens(path: Path) -> int:
    """How many tokens CLIP takes.

    Raises:
        CheckpointError: its settings do not say.
    """
    said = read_json(path / "text_encoder" / "config.json", CheckpointError)
    tokens = said.get("max_position_embeddings", 77) if isinstance(said, dict) else None
    if not isinstance(tokens, int) or isinstance(tokens, bool) or not 1 <= tokens <= 1024:
        raise CheckpointError(f"{path / 'text_encoder' / 'config.json'}: max_position_embeddings is {tokens!r}")
    return tokens


@torch.no_grad()
@defaults()
def embedded(path: Path, family: str, second: bool, texts: Sequence[str], width: int) -> dict[str, Tensor]:
    """Prompts, embedded.

    Args:
        path: the folder of the pipeline.
        family: the denoiser's name.
        second: whether the network takes the embedding of a whole prompt, too.
        texts: the prompts.
        width: of a token's embedding, as the network wants it.

    Returns:
        "tokens" [b n width], and where there are such, "pooled" [b p].

    Raises:
        CheckpointError: an encoder or tokenizer cannot be read.
    """
    projected = "CLIPTextModelWithProjection"
    if family == "flux":
        long = _t5(path, "text_encoder_2", texts, T5_TOKENS[family])
        return {"tokens": long, "pooled": _clip(path, "text_encoder", texts).whole}
    if family == "unet-condition":
        here = _clip(path, "text_encoder", texts)
        if not second:
            return {"tokens": here.last}
        there = _clip(path, "text_encoder_2", texts, projected)
        return {"tokens": torch.cat([here.penultimate, there.penultimate], -1), "pooled": there.whole}
    both = [_clip(path, folder, texts, projected) for folder in encoder_folders(family, second)]
    clip = torch.cat([one.penultimate for one in both], -1)
    clip = F.pad(clip, (0, max(0, width - clip.shape[-1])))
    if (path / "text_encoder_3").is_dir():
        long = _t5(path, "text_encoder_3", texts, T5_TOKENS[family])
    else:  # which leaves memory for other things, and was left out in training now and then
        long = clip.new_zeros(len(texts), T5_TOKENS[family], width)
    return {"tokens": torch.cat([clip, long], 1), "pooled": torch.cat([one.whole for one in both], -1)}


def _clip(path: Path, folder: str, texts: Sequence[str], kind: str = "CLIPTextModel") -> Embedded:
    """The last layer, normalised; the one before, not; and the whole prompt, projected where the kind does that."""
    model = _model(path / folder, kind, "CLIPTextConfig")
    numbers = _numbers(path, folder, "CLIPTokenizer", texts, model.config.max_position_embeddings)
    with _quiet(), _refused(path / folder, "no prompt can be embedded with its settings"):
        out = model(numbers, output_hidden_states=True)
    whole = out.text_embeds if kind.endswith("WithProjection") else out.pooler_output
    return Embedded(out.last_hidden_state.float(), out.hidden_states[-2].float(), whole.float())


def _t5(path: Path, folder: str, texts: Sequence[str], tokens: int) -> Float[Tensor, "b n d"]:
    model = _model(path / folder, "T5EncoderModel", "T5Config")
    numbers = _numbers(path, folder, "T5TokenizerFast", texts, tokens)
    with _quiet(), _refused(path / folder, "no prompt can be embedded with its settings"):
        last: Tensor = model(numbers).last_hidden_state
    return last.float()


def _numbers(path: Path, folder: str, kind: str, texts: Sequence[str], most: int) -> Tensor:
    """The tokens of texts, cut or filled up to so many."""
    place = path / folder.replace("text_encoder", "tokenizer")
    with _quiet(), _refused(place, "no tokenizer can be made of it"):
        tokenizer = getattr(importlib.import_module("transformers"), kind).from_pretrained(place, local_files_only=True)
        made = tokenizer(list(texts), padding="max_length", max_length=most, truncation=True, return_tensors="pt")
    numbers: Tensor = made.input_ids
    return numbers


def _model(folder: Path, kind: str, settings: str) -> Any:
    """A text encoder. Weights in float16 are computed with in float32: processors are slow at it, and T5 overflows."""
    said = read_json(folder / "config.json", CheckpointError)
    if not isinstance(said, dict) or said.get("architectures", [kind]) != [kind]:
        raise CheckpointError(f"{folder / 'config.json'}: expected the settings of a {kind}")
    file = weights_of(folder, ("model", "pytorch_model"))
    state = {name: value for name, value in tensors(file).items() if not name.endswith(_PLACES)}
    for one, other in (_TIED, _TIED[::-1]):
        if kind == "T5EncoderModel" and other in state:
            state.setdefault(one, state[other])
    transformers = importlib.import_module("transformers")
    own = getattr(transformers, kind)
    shapes = {name.removeprefix(_PREFIX): value.shape for name, value in state.items()}
    with _quiet(), _refused(folder / "config.json", f"no settings of a {kind}"):
        config = getattr(transformers, settings).from_dict(said)
        model = outline(lambda: own(config), len(state), str(file))
        refuse(unlike({n.removeprefix(_PREFIX): v for n, v in model.state_dict().items()}, shapes), str(file), kind)
        stored = next(iter(state.values())).dtype
        state = {name: value.float() if value.dtype == torch.float16 else value for name, value in state.items()}
        dtype = torch.float32 if stored == torch.float16 else stored
        return own.from_pretrained(None, config=config, state_dict=state, dtype=dtype).eval()


@contextlib.contextmanager
def _refused(place: Path, why: str) -> Iterator[None]:
    """Whatever transformers raises of files and settings that are not what they should be is a `CheckpointError`."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"{place}: {why} ({_short(error)})") from None


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Until the block is left, transformers shows no bars and tells of errors alone."""
    logging = importlib.import_module("transformers.utils.logging")
    level, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    bars: dict[bool, Callable[[], None]] = {True: logging.enable_progress_bar, False: logging.disable_progress_bar}
    logging.set_verbosity_error()
    bars[False]()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        bars[shown]()
