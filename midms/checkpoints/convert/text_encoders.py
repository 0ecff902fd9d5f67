"""Prompts through the text encoders of a pipeline of diffusers, each as the pipeline of its family embeds them.

The encoders are transformers' own classes. Those of a folder are read when a prompt is embedded, and not kept.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.checkpoints.convert.single_file import SingleFile
from midms.checkpoints.convert.weights import WHOLE_PIPELINE, read_settings, tensors, weights_of
from midms.core.offload import device_of
from midms.core.schema import read_json
from midms.core.tensors import CheckpointError, outline, refuse, unlike
from midms.core.torch_defaults import defaults

INDEX_FILE = "model_index.json"
"""What a folder of diffusers says of the whole pipeline."""
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


@runtime_checkable
class TextEncoders(Protocol):
    """The text encoders of a pipeline, by the names of their folders: "text_encoder", those with _2 and _3."""

    @property
    def where(self) -> str:
        """What errors call them."""

    @property
    def empty_is_zero(self) -> bool:
        """Whether an empty negative prompt is one of zeros, which SDXL's is."""

    def check(self, folders: Sequence[str]) -> None:
        """Find out whether prompts can be embedded by these: `CheckpointError` says why not."""

    def clip_tokens(self) -> int:
        """How many tokens CLIP takes."""

    def has(self, folder: str) -> bool:
        """Whether there is such an encoder."""

    def tokenizer(self, folder: str, kind: str) -> Any:
        """That of an encoder, for which transformers has the class `kind`."""

    def model(self, folder: str, kind: str, settings: str) -> Any:
        """An encoder, of the class `kind`; `settings` is that of its configuration."""


@dataclass(frozen=True)
class FolderEncoders:
    """The text encoders in a folder of diffusers.

    Args:
        path: the folder.
        single: a single file in it, whose weights go before those of the folder.
    """

    path: Path
    single: SingleFile | None = None

    @property
    def where(self) -> str:
        """What errors call them."""
        return str(self.path)

    @property
    def empty_is_zero(self) -> bool:
        """As `model_index.json` says; where it does not, as diffusers has it."""
        index = read_json(self.path / INDEX_FILE, CheckpointError) if (self.path / INDEX_FILE).is_file() else {}
        return bool(index.get("force_zeros_for_empty_prompt", True)) if isinstance(index, dict) else False

    def check(self, folders: Sequence[str]) -> None:
        """Find out whether prompts can be embedded.

        Raises:
            CheckpointError: transformers is not installed, or a folder lacks an encoder or its tokenizer.
        """
        if importlib.util.find_spec("transformers") is None:
            raise CheckpointError(
                f"{self.path}: its prompts are embedded by transformers: pip install 'midms[diffusion]'"
            )
        needed = [folder.replace("text_encoder", kind) for folder in folders for kind in ("text_encoder", "tokenizer")]
        if lacking := [folder for folder in needed if not (self.path / folder).is_dir()]:
            raise CheckpointError(f"{self.path}: has no {'/, no '.join(lacking)}/, {WHOLE_PIPELINE}")

    def clip_tokens(self) -> int:
        """How many tokens CLIP takes.

        Raises:
            CheckpointError: its settings do not say.
        """
        where = self.path / "text_encoder" / "config.json"
        said = read_settings(where)
        tokens = said.get("max_position_embeddings", 77) if isinstance(said, dict) else None
        if not isinstance(tokens, int) or isinstance(tokens, bool) or not 1 <= tokens <= 1024:
            raise CheckpointError(
                f"{self.path / 'text_encoder' / 'config.json'}: max_position_embeddings is {tokens!r}"
            )
        return tokens

    def has(self, folder: str) -> bool:
        """Whether there is such a folder."""
        return (self.path / folder).is_dir()

    def tokenizer(self, folder: str, kind: str) -> Any:
        """That of an encoder, from files alone."""
        place = self.path / folder.replace("text_encoder", "tokenizer")
        with _quiet(), _refused(str(place), "no tokenizer can be made of it"):
            return getattr(importlib.import_module("transformers"), kind).from_pretrained(place, local_files_only=True)

    def model(self, folder: str, kind: str, settings: str) -> Any:
        """An encoder. Weights in float16 are computed with in float32: processors are slow at it, and T5 overflows."""
        return _model(self.path / folder, kind, settings, self.single)


@torch.no_grad()
@defaults()
def embedded(encoders: TextEncoders, family: str, second: bool, texts: Sequence[str], width: int) -> dict[str, Tensor]:
    """Prompts, embedded.

    Args:
        encoders: of the pipeline.
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
        long = _t5(encoders, "text_encoder_2", texts, T5_TOKENS[family])
        return {"tokens": long, "pooled": _clip(encoders, "text_encoder", texts).whole}
    if family == "unet-condition":
        here = _clip(encoders, "text_encoder", texts)
        if not second:
            return {"tokens": here.last}
        there = _clip(encoders, "text_encoder_2", texts, projected)
        return {"tokens": torch.cat([here.penultimate, there.penultimate], -1), "pooled": there.whole}
    both = [_clip(encoders, folder, texts, projected) for folder in encoder_folders(family, second)]
    clip = torch.cat([one.penultimate for one in both], -1)
    clip = F.pad(clip, (0, max(0, width - clip.shape[-1])))
    if encoders.has("text_encoder_3"):
        long = _t5(encoders, "text_encoder_3", texts, T5_TOKENS[family])
    else:  # which leaves memory for other things, and was left out in training now and then
        long = clip.new_zeros(len(texts), T5_TOKENS[family], width)
    return {"tokens": torch.cat([clip, long], 1), "pooled": torch.cat([one.whole for one in both], -1)}


def _clip(encoders: TextEncoders, folder: str, texts: Sequence[str], kind: str = "CLIPTextModel") -> Embedded:
    """The last layer, normalised; the one before, not; and the whole prompt, projected where the kind does that."""
    model = encoders.model(folder, kind, "CLIPTextConfig")
    numbers = _numbers(encoders, folder, "CLIPTokenizer", texts, model.config.max_position_embeddings)
    with _quiet(), _refused(f"{encoders.where}/{folder}", "no prompt can be embedded with its settings"):
        out = model(numbers.to(device_of(model)), output_hidden_states=True)
    whole = out.text_embeds if kind.endswith("WithProjection") else out.pooler_output
    return Embedded(out.last_hidden_state.float(), out.hidden_states[-2].float(), whole.float())


def _t5(encoders: TextEncoders, folder: str, texts: Sequence[str], tokens: int) -> Float[Tensor, "b n d"]:
    model = encoders.model(folder, "T5EncoderModel", "T5Config")
    numbers = _numbers(encoders, folder, "T5TokenizerFast", texts, tokens)
    with _quiet(), _refused(f"{encoders.where}/{folder}", "no prompt can be embedded with its settings"):
        last: Tensor = model(numbers.to(device_of(model))).last_hidden_state
    return last.float()


def _numbers(encoders: TextEncoders, folder: str, kind: str, texts: Sequence[str], most: int) -> Tensor:
    """The tokens of texts, cut or filled up to so many."""
    tokenizer = encoders.tokenizer(folder, kind)
    place = f"{encoders.where}/{folder.replace('text_encoder', 'tokenizer')}"
    if len(tokenizer.get_vocab().keys() - {*tokenizer.all_special_tokens}) <= 1:  # what transformers makes of no files
        raise CheckpointError(f"{place}: knows no words: tokenizer.json, or the files of its vocabulary, are missing")
    with _quiet(), _refused(place, "no tokenizer can be made of it"):
        made = tokenizer(list(texts), padding="max_length", max_length=most, truncation=True, return_tensors="pt")
    numbers: Tensor = made.input_ids
    return numbers


def _model(folder: Path, kind: str, settings: str, single: SingleFile | None) -> Any:
    said = read_settings(folder / "config.json")
    if not isinstance(said, dict) or said.get("architectures", [kind]) != [kind]:
        raise CheckpointError(f"{folder / 'config.json'}: expected the settings of a {kind}")
    transformers = importlib.import_module("transformers")
    own = getattr(transformers, kind)

    def outlined(count: int, where: Path) -> Any:
        with _quiet(), _refused(str(folder / "config.json"), f"no settings of a {kind}"):
            return outline(lambda: own(getattr(transformers, settings).from_dict(said)), count, str(where))

    found = single and single.encoder(folder.name, outlined(len(single.tensors), single.path).state_dict())
    file = single.path if single and found else weights_of(folder, ("model", "pytorch_model"))
    state = {name: value for name, value in (found or tensors(file)).items() if not name.endswith(_PLACES)}
    for one, other in (_TIED, _TIED[::-1]):
        if kind == "T5EncoderModel" and other in state:
            state.setdefault(one, state[other])
    shapes = {name.removeprefix(_PREFIX): value.shape for name, value in state.items()}
    model = outlined(len(state), file)
    with _quiet(), _refused(str(folder / "config.json"), f"no settings of a {kind}"):
        refuse(unlike({n.removeprefix(_PREFIX): v for n, v in model.state_dict().items()}, shapes), str(file), kind)
        stored = next(iter(state.values())).dtype
        state = {name: value.float() if value.dtype == torch.float16 else value for name, value in state.items()}
        dtype = torch.float32 if stored == torch.float16 else stored
        return own.from_pretrained(None, config=model.config, state_dict=state, dtype=dtype).eval()


@contextlib.contextmanager
def _refused(place: str, why: str) -> Iterator[None]:
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
