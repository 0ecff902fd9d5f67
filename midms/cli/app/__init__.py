"""`midms app`: the same with a page in the browser."""

from __future__ import annotations

import argparse

from midms.cli.messages import say
from midms.cli.options import Commands, command, plugins
from midms.cli.values import integer, some_text


def add(commands: Commands) -> None:
    """The command and its options."""
    one = command(
        commands,
        "app",
        _app,
        "draw, drop pictures and click in a browser, on this machine alone",
        "Needs pip install 'midms[app]'. Nothing is fetched from elsewhere, nothing is kept after it ends.",
        ("", "--port 8000 --preset midm-lineart"),
    )
    one.add_argument("--port", type=integer(1, 65535), metavar="N", help="default: the first that is free from 7860 on")
    one.add_argument(
        "--preset",
        type=some_text,
        default="midm-faces",
        metavar="P",
        help="that is chosen at first, or a folder of weights (default %(default)s)",
    )
    plugins(one)


def _app(args: argparse.Namespace) -> int:
    from midms.cli.app.serve import serve

    serve(args.preset, args.port, lambda address: say(f"open {address} in a browser; Ctrl-C ends it"))
    return 0
