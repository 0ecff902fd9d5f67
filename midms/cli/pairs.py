"""`midms pairs`: exemplars for a folder of pictures."""

from __future__ import annotations

import argparse
import fnmatch
from typing import TYPE_CHECKING, Any

from midms.cli.messages import complain, say
from midms.cli.options import Commands, command, device, plugins
from midms.cli.values import a_path, integer, part_value, some_text
from midms.compose.catalog import create, registry
from midms.compose.spec import Spec
from midms.core.limits import LARGEST
from midms.registry import BadArguments

if TYPE_CHECKING:
    from midms.pipeline.retrieval import Embedding

SIZE = 128
"""Pixels a side at which extractors take pictures, where it is not given."""


def add(commands: Commands) -> None:
    """The command and its options."""
    added = command(
        commands,
        "pairs",
        _pairs,
        "find the pictures of a folder that are most alike, to be each other's exemplars",
        "Pictures are compared by the cosine of the means of their features. FILE is a"
        " table of target, exemplar and similarity, for --data of `midms train`: \"folder(path='PICTURES',"
        " pairs='FILE')\". Features are kept in FILE.features, so that what was stopped goes on where it was.",
        (
            "photos --out pairs.csv",
            "photos --features timm:resnet18.a1_in1k --top-k 10 --out pairs.csv --ref-txt photos_ref.txt",
            'photos --features "vgg(weights=hed)" --out pairs.csv',
        ),
    )
    plugins(added)
    added.add_argument(
        "pictures", type=a_path, metavar="PICTURES", help="a folder of pictures; those in its folders too"
    )
    added.add_argument(
        "--glob",
        default="*",
        metavar="GLOB",
        help="of these only what is called so, such as '*.jpg' (default %(default)s)",
    )
    added.add_argument("--out", type=a_path, required=True, metavar="FILE", help="the table to write, called *.csv")
    added.add_argument(
        "--ref-txt", type=a_path, metavar="FILE", help="the same as a list as CoCosNet has it, *_ref.txt"
    )
    added.add_argument(
        "--top-k", type=integer(1, 1000), default=5, metavar="K", help="exemplars a picture (default %(default)s)"
    )
    added.add_argument(
        "--features",
        type=_features,
        metavar="PART",
        help="what pictures are compared by, see `midms list features`; timm:NAME is a backbone of timm with its"
        " weights, which it may download (default: those of the preset, which come with midms)",
    )
    added.add_argument(
        "--preset",
        type=some_text,
        default="midm-faces",
        metavar="P",
        help="whose own features they are (default %(default)s)",
    )
    added.add_argument(
        "--size", type=integer(32, LARGEST), metavar="N", help=f"pixels a side (default: the preset's, else {SIZE})"
    )
    added.add_argument("--device", default="cpu", help="such as cuda (default %(default)s)")


def _features(text: str) -> Spec:
    """An argument type: features, as other parts or as timm:NAME."""
    prefix, _, name = text.partition(":")
    if prefix == "timm" and name:
        return Spec("timm", backbone=name, pretrained=True)
    value = part_value(text)
    return value if isinstance(value, Spec) else Spec(value)


def _pairs(args: argparse.Namespace) -> int:
    if args.features is not None:
        registry("features").check(args.features.name, **args.features.arguments)
    from midms.core.files import check_file, held
    from midms.data.folder import list_pictures
    from midms.pipeline.retrieval import RetrievalError, embed, nearest_of, write_pairs

    for name, path, suffix in (("out", args.out, ".csv"), ("ref-txt", args.ref_txt, ".txt")):
        if path is None:
            continue
        if path.suffix.lower() != suffix:
            raise BadArguments(f"--{name} {path}: expected the name of a file called *{suffix}")
        try:
            check_file(path)
        except OSError as error:
            raise BadArguments(f"--{name} {path}: cannot be written ({error.strerror or error})") from None
    names = fnmatch.filter(list_pictures(args.pictures), args.glob)
    if args.ref_txt and (strange := [name for name in names if "," in name or name != name.strip()]):
        raise BadArguments(f"--ref-txt: divides names by commas, and a picture is called {strange[0]!r}")
    if len(names) < 2:
        raise RetrievalError(f"{args.pictures}: has {len(names)} of {args.glob}, expected at least two pictures")
    embedding = _embedding(args)
    folder = args.out.with_name(f"{args.out.name}.features")
    with held(folder):
        vectors = embed(args.pictures, names, embedding, folder)
        for text in vectors.broken.values():
            complain(f"note: left out: {text}")
        if len(names) - len(vectors.broken) < 2:
            raise RetrievalError(f"{args.pictures}: has one picture that can be read, expected at least two")
        count = write_pairs(nearest_of(vectors, args.top_k), args.pictures, names, args.out, args.ref_txt)
    written = f"{args.out} and {args.ref_txt}" if args.ref_txt else args.out
    found = f"{count:,} pictures with up to {args.top_k} exemplars each, written to {written}"
    say(f"{found}; their features are in {folder}")
    return 0


def _embedding(args: argparse.Namespace) -> Embedding:
    """How pictures become vectors, as the options say."""
    from torch import nn

    from midms.core.protocols import AnnotationReader
    from midms.pipeline.pretrained import load
    from midms.pipeline.retrieval import Embedding, sight, sight_of, weights_digest

    where: Any = device(args.device)
    if args.features is not None:
        try:
            extractor = create("features", args.features.name, **args.features.arguments)
        except ValueError as error:
            raise BadArguments(f"--features: {error}") from None
        if (channels := getattr(extractor, "condition_channels", 3)) != 3:
            raise BadArguments(
                f"--features {args.features.name}: takes maps of {channels} channels, expected what takes"
                " pictures, such as vgg or timm:NAME; the own features of a model are those of its --preset"
            )
        if isinstance(extractor, nn.Module):
            extractor.to(where)
        key = f"{args.features.typed()} {weights_digest(extractor)}"
        return Embedding(sight(extractor), key, args.size or SIZE, device=where)
    pipe = load(args.preset).to(where)
    if isinstance(pipe.condition, AnnotationReader):
        raise BadArguments(f"--preset {args.preset}: its features need annotations of every picture; see --features")
    key = f"{args.preset} {weights_digest(pipe.autoencoder, pipe.features)}"
    return Embedding(sight_of(pipe), key, args.size or pipe.size, device=where)
