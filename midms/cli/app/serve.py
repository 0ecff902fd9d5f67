"""The app as a server: on this machine alone, offline, within limits, leaving nothing behind."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from midms.cli.app.choices import pipeline_of
from midms.cli.app.sessions import Sessions
from midms.cli.app.uploads import BYTES
from midms.core.errors import MidmsError

LOCAL = "127.0.0.1"
_WAITING = 16
"""Visitors that may wait for a translation."""
_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; worker-src 'self' blob:"
)
"""What a browser may fetch for the page: nothing from elsewhere."""


class NoApp(MidmsError, ImportError):
    """Gradio is not installed, or the port is taken; the message says what to do."""


def serve(preset: str, port: int | None, ready: Callable[[str], None]) -> None:
    """Serve the app until it is interrupted.

    Args:
        preset: that is chosen at first.
        port: of 127.0.0.1; None for the first from 7860 on that is free.
        ready: called with the address once it answers.

    Raises:
        NoApp: Gradio is not installed, or the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="midms-app-") as folder:
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": folder, "HF_HUB_OFFLINE": "1"}
        try:
            import gradio as gr
        except ImportError as error:
            raise NoApp(f"the app needs Gradio: pip install 'midms[app]' ({error})") from None
        from midms.cli.app.handlers import Handlers
        from midms.cli.app.style import page_style
        from midms.cli.app.wiring import app_page

        blocks = app_page(Handlers(Sessions(), Path(folder)), preset)
        blocks.queue(max_size=_WAITING, default_concurrency_limit=1)
        theme = gr.themes.Soft(
            primary_hue="teal",
            secondary_hue="teal",
            neutral_hue="slate",
            font=["system-ui", "sans-serif"],
            font_mono=["ui-monospace", "monospace"],
        ).set(
            block_title_background_fill="none",
            block_title_text_color="*body_text_color",
            block_title_padding="0",
            body_background_fill="*neutral_50",
        )
        try:
            _, address, _ = blocks.launch(
                server_name=LOCAL,
                server_port=port,
                share=False,
                quiet=True,
                prevent_thread_lock=True,
                max_file_size=BYTES,
                ssr_mode=False,
                footer_links=[],
                theme=theme,
                css=page_style(preset),
                app_kwargs={"middleware": _middleware()},
            )
        except OSError as error:
            raise NoApp(f"--port {port}: {error}") from None
        ready(address)
        threading.Thread(target=_warm, args=(preset,), daemon=True).start()
        blocks.block_thread()


def _warm(preset: str) -> None:
    """Load what the first translation needs; what cannot be loaded is said when it is asked for."""
    with contextlib.suppress(MidmsError):
        pipeline_of(preset, ())


def _middleware() -> list[Any]:
    """What adds to each answer that nothing may be fetched from elsewhere."""
    from starlette.middleware import Middleware

    return [Middleware(_NothingFromElsewhere)]


class _NothingFromElsewhere:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", _POLICY.encode())]
            await send(message)

        await self.app(scope, receive, with_policy)
