"""`midms explain`: a page that shows where each pixel of a result comes from."""

from __future__ import annotations

import argparse

from midms.cli.messages import say
from midms.cli.options import Commands, command
from midms.cli.values import a_path


def add(commands: Commands) -> None:
    """The command and its options."""
    one = command(
        commands,
        "explain",
        _explain,
        "write a page that answers clicks: where a pixel of a result comes from, where a place of an exemplar went",
        "The page is one file, works offline, and shows the match's distribution, its confidence and cycle error.",
        ("saved/", "saved/ --out page.html"),
    )
    one.add_argument(
        "result", type=a_path, metavar="RESULT", help="a folder that `midms translate --save` or Translation.save wrote"
    )
    one.add_argument("--out", type=a_path, metavar="PAGE.html", help="the page (default: RESULT/explain.html)")


def _explain(args: argparse.Namespace) -> int:
    from midms.core.files import atomic_write, check_file
    from midms.images import PictureError
    from midms.pipeline.explain import explanation_page
    from midms.pipeline.saved import read_saved

    saved = read_saved(args.result)
    out = args.out or args.result / "explain.html"
    check_file(out)
    folder, target = args.result.resolve(), out.resolve()
    if out.exists() and target.is_relative_to(folder) and target != folder / "explain.html":
        raise PictureError(f"{out}: is a file of the result, which would be overwritten")
    with atomic_write(out) as part:
        part.write_text(explanation_page(saved), encoding="utf-8")
    say(f"written to {out}; open it in a browser and click")
    return 0
