"""`midms translate`: files, folders, and tables of pairs."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midms.cli.beforehand import announced
from midms.cli.messages import USER_ERROR, complain, say
from midms.cli.options import Commands, command, composed, composition, in_options, networks, parts, prompts
from midms.cli.translate_pairs import run_pairs
from midms.cli.values import a_path, integer, some_text
from midms.compose.catalog import create
from midms.compose.changes import specified
from midms.compose.presets import PRESETS
from midms.core.errors import MidmsError, printable
from midms.core.limits import SEEDS
from midms.registry import BadArguments

if TYPE_CHECKING:
    from midms.pipeline.jobs.plan import Job
    from midms.pipeline.pipeline import Pipeline


def add(commands: Commands) -> None:
    """The command and its options."""
    one = command(
        commands,
        "translate",
        _translate,
        "give a picture the geometry of a sketch",
        "With folders, pictures are paired by name without suffix; if they share none, in the order of names, 2 before"
        " 10, and the pairs are printed first. One picture alone goes with each of the other side. OUT and FIG are then"
        " folders, in which results are called like the folder's picture that they came from. With --pairs a result is"
        " called like its pair's key, and OUT/manifest.jsonl says what became of each; started by torchrun, processes"
        ' share the pairs; the documentation has a page "Many pairs".',
        (
            "--condition sketch.png --exemplar photo.jpg --out out.png --figure how.png",
            "--condition sketches/ --exemplar photo.jpg --out results/",
            "--condition photo.jpg --condition-from edges --exemplar other.jpg --out out.png",
            '--condition sketch.png --exemplar photo.jpg --out out.png --confidence "cycle(radius=0.1)" --rematch 0,1',
            "--condition drawing.png --exemplar photo.jpg --out out.png --finisher composite --layers layers",
            "--condition sketch.png --exemplar photo.jpg --out out.png --save how/",
            "--pairs pairs.csv --out many/ --batch 16 --resume",
        ),
    )
    one.add_argument(
        "--condition",
        type=a_path,
        metavar="SKETCH",
        help="the sketch, or a folder of sketches; or a label map, a photo with masks, keypoints, as the preset wants",
    )
    one.add_argument(
        "--exemplar",
        type=a_path,
        default=[],
        action="append",
        metavar="PICTURE",
        help="the picture, or a folder of pictures; given several times, each part takes from the likeliest of them",
    )
    one.add_argument(
        "--pairs",
        type=a_path,
        metavar="FILE",
        help="instead of these a table, CSV, JSON lines or Parquet, of paths relative to it: condition, exemplar; maybe"
        " exemplar_condition, and key, the result's name without suffix (default: the condition's); or tar files, with"
        " KEY.condition.png and KEY.exemplar.jpg",
    )
    one.add_argument(
        "--batch",
        type=integer(1, 1024),
        default=1,
        metavar="N",
        help="with --pairs or folders, so many of like size are computed at once (default %(default)s)",
    )
    one.add_argument(
        "--resume",
        action="store_true",
        help="with --pairs, leave out what the manifest has, if the file is there and inputs are as they were",
    )
    one.add_argument(
        "--ray",
        nargs="?",
        const="local",
        type=some_text,
        metavar="ADDRESS",
        help="with --pairs, by actors of a Ray cluster, such as auto, or of one that is started here",
    )
    one.add_argument(
        "--shards",
        type=integer(1, 1_000_000),
        metavar="N",
        help="with --pairs, results go into tar files of N pairs each, as webdataset has them: KEY.png and KEY.json",
    )
    one.add_argument(
        "--series",
        action="store_true",
        help="the sketches are of one series: each takes from all the pictures; with a finisher such as composite, flat"
        " colours are those of the pictures, and what several sketches show has one colour in all",
    )
    one.add_argument(
        "--region",
        type=a_path,
        action="append",
        default=[],
        metavar="MASK",
        help="for several exemplars, one each in their order: white where the sketch takes from it",
    )
    one.add_argument(
        "--exemplar-region",
        type=a_path,
        action="append",
        default=[],
        metavar="MASK",
        help="for the exemplars in their order: white where one may be taken from; those without a mask may everywhere",
    )
    one.add_argument(
        "--anchors",
        type=a_path,
        metavar="FILE.json",
        help="places of the sketch that take from places of the picture, in pixels of both:"
        ' [{"here": [30, 40], "there": [52, 61]}, ...]; also "exemplar", which of several, from 0, and "radius",'
        " at which half of the sketch takes from there",
    )
    one.add_argument(
        "--colours",
        type=a_path,
        metavar="FILE.json",
        help='places of the sketch that have a colour: [{"here": [30, 40], "colour": "#c04020"}, ...]; also "radius"',
    )
    one.add_argument(
        "--exemplar-condition",
        type=a_path,
        metavar="SKETCH",
        help="the same for the picture, or a folder; needed where it cannot be made from the picture",
    )
    one.add_argument(
        "--out", type=a_path, required=True, metavar="OUT.png", help="the result, or a folder for the results"
    )
    one.add_argument(
        "--figure", type=a_path, metavar="FIG.png", help="also draw how it came about; a folder where --out is one"
    )
    one.add_argument(
        "--layers",
        type=a_path,
        metavar="DIR",
        help="also write the layers of a --finisher that has some: colours.png without lines, lines.png with"
        " transparency, regions.png with their numbers; where --out is a folder, a folder of them each",
    )
    one.add_argument(
        "--save",
        type=a_path,
        metavar="DIR",
        help="also write all of the result to a folder, for `midms explain` and other programs: pictures, flow, match,"
        " Python that makes it again; where --out is a folder, a folder of them each",
    )
    composition(one)
    networks(one)
    one.add_argument(
        "--seed", type=integer(0, SEEDS), default=0, metavar="N", help="of the noise (default %(default)s)"
    )
    one.add_argument(
        "--size",
        type=integer(),
        metavar="N",
        help="pixels of the shorter side, of the longer with weights for squares (default: the preset's own)",
    )
    prompts(one)
    parts(one)


def _translate(args: argparse.Namespace) -> int:
    if args.pairs is not None:
        return run_pairs(args)
    if args.condition is None or not args.exemplar:
        raise BadArguments("expected --condition and --exemplar, or --pairs")
    if idle := [f"--{name}" for name in ("resume", "ray", "shards") if getattr(args, name)]:
        raise BadArguments(f"{idle[0]}: goes with --pairs")
    from tqdm import tqdm

    from midms.images import PictureError
    from midms.pipeline.failures import HOPELESS, PartFailed
    from midms.pipeline.hints import HINT_KINDS
    from midms.pipeline.jobs.batches import of_series, run_jobs
    from midms.pipeline.jobs.partners import all_pictures
    from midms.pipeline.jobs.plan import examine, plan_jobs

    hints = {name: path for name in HINT_KINDS if (path := getattr(args, name)) is not None}
    exemplars = all_pictures(args.exemplar) if args.series else args.exemplar
    more = args.exemplar_condition, args.region, args.layers, hints, args.exemplar_region, args.save
    jobs = plan_jobs(args.condition, exemplars, args.out, args.figure, *more)
    if not all(job.alike for job in jobs):
        say("no names agree, so pairs are made in their order:")
        say(*(f"  {job.condition}  with  {', '.join(map(str, job.exemplars))}" for job in jobs))
    known = examine(jobs[0], _reader(args)) if len(jobs) == 1 else {}
    pipe = composed(args)
    if args.layers is not None and pipe.finisher is None:
        raise BadArguments(f"--layers {args.layers}: there are none without a finisher such as --finisher composite")
    if len(jobs) == 1 < args.batch:
        complain(f"note: --batch {args.batch} changes nothing for one pair")
    if args.series and (where := _idle_series(pipe, jobs)):
        complain(f"note: --series changes nothing {where}")
    batch = min(args.batch, len(jobs))
    beforehand = announced(pipe, args.size, batch, jobs)
    sizes: list[tuple[int, int]] = []
    warned: dict[str, list[Path]] = {}
    failures: list[str] = []
    if args.series and len(jobs) > 1:
        pipe = of_series(pipe, jobs, seed=args.seed, size=args.size, known=known)
    outcomes = run_jobs(pipe, jobs, seed=args.seed, size=args.size, batch=batch, known=known)
    bar = tqdm(outcomes, "translating", len(jobs), unit="pair", disable=None if len(jobs) > 1 else True)
    broken = 0
    for tried, outcome in enumerate(bar, 1):
        broken += isinstance(outcome.error, PartFailed)
        if outcome.result is not None:
            sizes.append(outcome.result.image.size)
            for warning in outcome.result.warnings:
                warned.setdefault(warning, []).append(outcome.job.out)
        elif len(jobs) == 1 and outcome.error is not None and not isinstance(outcome.error, PictureError):
            raise outcome.error
        else:
            failures.append(outcome.reason)
        if broken == tried and tried in (HOPELESS, len(jobs)):  # it would with each
            left = len(jobs) - tried
            failures = [f"{outcome.error}" + (f"; the other {left:,} are not tried" if left else "")]
            break
    for failure in dict.fromkeys(failures):
        complain(in_options(failure, args))
    _warn({warning: results for warning, results in warned.items() if warning not in beforehand}, len(sizes))
    if sizes:
        count = f"{len(sizes)} of {len(jobs)} " if len(jobs) > 1 else ""
        several = f", {len({*chain(*warned.values())})} with warnings" if len(jobs) > 1 and warned else ""
        say(f"{count}written to {args.out}, {_extent(sizes)} pixels{several}")
    elif len(jobs) > 1:
        say(f"0 of {len(jobs)} written to {args.out}")
    return USER_ERROR if failures else 0


def _idle_series(pipe: Pipeline, jobs: Sequence[Job]) -> str:
    """Where a series of these jobs would change nothing, or nothing."""
    from midms.pipeline.series import SeriesFinisher

    if any(len(job.exemplars) > 1 for job in jobs):
        return ""
    if len(jobs) == 1:
        return "for one pair"
    known = isinstance(pipe.finisher, SeriesFinisher)
    return "" if known else "with one picture and no finisher such as --finisher composite"


def _warn(warned: dict[str, list[Path]], count: int) -> None:
    """A line for each warning, with the results that it is of where it is not of all."""
    for warning, results in warned.items():
        some = len(results) < count
        where = f"{len(results)} of {count} results: " if some else f"all {count} results: " if count > 1 else ""
        complain(f"warning: {where}{warning}{':' if some else ''}")
        for path in results if some else ():
            print(f"  {printable(path)}", file=sys.stderr)


def _reader(args: argparse.Namespace) -> Any:
    """What reads the condition, where that is known before the rest is composed."""
    usual = PRESETS[args.preset].slots["condition"] if args.preset in PRESETS else None
    with contextlib.suppress(MidmsError, ImportError):  # composing says what is wrong
        if spec := specified("condition", getattr(args, "condition_from", usual), usual):
            return create("condition", spec.name, **spec.arguments)
    return None


def _extent(sizes: Sequence[tuple[int, int]]) -> str:
    """Width and height of results, or those of the smallest and the largest."""
    ends = sorted(sizes, key=lambda size: size[0] * size[1])
    return " to ".join(f"{width} x {height}" for width, height in dict.fromkeys((ends[0], ends[-1])))
