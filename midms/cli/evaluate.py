"""`midms evaluate`: how good results are."""

from __future__ import annotations

import argparse

from midms.cli.messages import USER_ERROR, complain, say
from midms.cli.options import Commands, command, device, plugins
from midms.cli.values import a_path, integer, some_text
from midms.compose.spec import Spec, parse_values
from midms.core.limits import SEEDS
from midms.registry import BadArguments


def add(commands: Commands) -> None:
    """The command and its options."""
    one = command(
        commands,
        "evaluate",
        _evaluate,
        "measure results by the metrics of the field",
        "Compares a folder of results with real pictures as sets, and each with what is known of it: answers are the"
        " real pictures of the same names, or as a table says. Writes evaluation.json, table.md, figures.csv and"
        " report.html to DIR. Leaves with 2 if something could not be read or measured; the rest is done.",
        (
            "results --against photos --out report",
            "results --pairs pairs.csv --out report --metrics psnr,ssim,copied-content",
            "results --against photos --out report --metrics fid,kid --inception weights-inception-2015-12-05.pth",
        ),
    )
    one.add_argument(
        "results", type=a_path, metavar="RESULTS", help="a folder of pictures, as `midms translate` leaves"
    )
    one.add_argument("--against", type=a_path, metavar="REAL", help="a folder of real pictures (default: the targets)")
    one.add_argument(
        "--pairs",
        type=a_path,
        metavar="FILE",
        help="a table, CSV or JSON lines, of paths relative to it: key, the result's name without suffix (default: that"
        " of condition or target); target, what the result should be; condition; exemplar; labels; exemplar_labels;"
        " flow, flow_back, exact_flow, arrays of NumPy's; keypoints, as of SPair-71k",
    )
    one.add_argument(
        "--metrics",
        type=some_text,
        metavar="A,B",
        help="see `midms list metric`; with settings as in swd(size=128) (default: all that what is given allows)",
    )
    one.add_argument("--out", type=a_path, required=True, metavar="DIR", help="where it is written")
    seen = one.add_mutually_exclusive_group()
    seen.add_argument(
        "--inception",
        type=a_path,
        metavar="FILE",
        help="torch-fidelity's weights of Inception, for FID and KID; without them the same is measured by another"
        " network, under other names",
    )
    seen.add_argument(
        "--extractor",
        type=some_text,
        default="efficientnet-lite0",
        metavar="E",
        help="that network: efficientnet-lite0, hed, or timm:NAME with timm's own weights (default %(default)s)",
    )
    one.add_argument(
        "--vgg",
        type=some_text,
        default="hed",
        metavar="FILE",
        help="weights of VGG: torchvision's VGG16 gives LPIPS, CoCosNet's VGG19 its style (default: hed, which is"
        " the VGG16 of HED)",
    )
    one.add_argument("--batch", type=integer(1, 1024), default=8, metavar="N", help="at once (default %(default)s)")
    one.add_argument("--seed", type=integer(0, SEEDS), default=0, metavar="N", help="of patches (default %(default)s)")
    one.add_argument("--device", default="cpu", help="such as cuda (default %(default)s)")
    plugins(one)


def _evaluate(args: argparse.Namespace) -> int:
    from midms.core.files import check_folder
    from midms.evaluation.evaluate import evaluate

    if args.against is None and args.pairs is None:
        raise BadArguments("--against or --pairs: expected one, there is nothing to compare with")
    check_folder(args.out)
    found = evaluate(
        args.results,
        args.against,
        pairs=args.pairs,
        metrics=None if args.metrics is None else _metrics(args.metrics),
        out=args.out,
        seed=args.seed,
        batch=args.batch,
        device=device(args.device),
        extractor=args.extractor if args.inception is None else f"inception:{args.inception}",
        vgg=args.vgg,
    )
    say(*found.table().partition("\n\nFailed:")[0].split("\n"))
    for failure in found.failures:
        complain(f"failed: {failure}")
    where = "" if found.page is None else f", see {found.page}"
    say("", f"{len(found.figures)} figures of {len(found.plan.entries):,} results{where}")
    return USER_ERROR if found.failures else 0


def _metrics(text: str) -> list[str | Spec]:
    """What is between commas, as metrics."""
    values = parse_values(text)
    if wrong := [value for value in values if not isinstance(value, str | Spec)]:
        raise BadArguments(f"--metrics: expected names, or settings as in swd(size=128), got {wrong[0]!r}")
    return values
