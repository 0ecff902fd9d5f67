"""`midms translate --pairs`: tables of pairs, in any number of processes."""

from __future__ import annotations

import argparse
import datetime
import os

from midms.cli.beforehand import announced
from midms.cli.messages import USER_ERROR, complain, say
from midms.cli.options import composed, in_options
from midms.registry import BadArguments

_OF_FILES = (
    "condition", "exemplar", "exemplar_condition", "series", "region", "exemplar_region", "anchors", "colours", "save"
)  # fmt: skip
"""Options of `midms translate` that are of files and folders alone."""


def run_pairs(args: argparse.Namespace) -> int:
    """Translate them, and say what became of them."""
    if idle := [f"--{name.replace('_', '-')}" for name in _OF_FILES if getattr(args, name)]:
        raise BadArguments(f"{' and '.join(idle)}: cannot be given beside --pairs")
    from midms.pipeline.jobs.manifest import Share
    from midms.pipeline.jobs.translate_pairs import translate_pairs

    share = Share.of_environment()
    if args.device == "cuda" and share.count > 1:
        args.device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    pipe = composed(args)
    if args.layers is not None and pipe.finisher is None:
        raise BadArguments(f"--layers {args.layers}: there are none without a finisher such as --finisher composite")
    beforehand = announced(pipe, args.size, args.batch)
    try:
        done = translate_pairs(
            pipe,
            args.pairs,
            args.out,
            batch=args.batch,
            seed=args.seed,
            size=args.size,
            figure=args.figure,
            layers=args.layers,
            shards=args.shards,
            resume=args.resume,
            share=share,
            ray=args.ray,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("(--resume goes on from here)") from None
    for failure in done.failures:
        complain(in_options(failure, args))
    if (more := done.failed - len(done.failures)) > 0:
        complain(f"and {more:,} more, see {args.out}/{share.name}")
    for warning, count in done.warnings.items():
        if warning not in beforehand:
            complain(f"warning: {count:,} of {done.written:,} results: {warning}")
    there = f", {done.skipped:,} were there" if done.skipped else ""
    there += f", {done.changed:,} made again, for their inputs have changed" if done.changed else ""
    of = f", share {share.number + 1} of {share.count}" if share.count > 1 else ""
    if share.count > 1 and "MASTER_ADDR" in os.environ:
        _wait_for_others()
    say(f"{done.written:,} of {done.total:,} written to {args.out}{there}{of}")
    return USER_ERROR if done.failed else 0


def _wait_for_others() -> None:
    """Until all processes are here: torchrun ends the others when one leaves with a failure."""
    import torch.distributed as distributed

    distributed.init_process_group("gloo", timeout=datetime.timedelta(days=365))
    distributed.barrier()
    distributed.destroy_process_group()
