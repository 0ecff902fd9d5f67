"""What each widget of the app's page calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr

from midms.cli.app.choices import Choices, choices_of
from midms.cli.app.handlers import COLOUR, Handlers
from midms.cli.app.page import Sidebar, Widgets, page_of
from midms.compose.presets import PRESETS

_SWEEP, _KEPT = 60, 3600
"""Seconds between searches for old temporary files, and until one is old."""
_QUIET: dict[str, Any] = {"show_progress": "hidden"}
_QUICK: dict[str, Any] = _QUIET | {"concurrency_limit": 4}
"""Of what is answered while a translation runs."""


def app_page(handlers: Handlers, preset: str) -> gr.Blocks:
    """The page, wired.

    Args:
        handlers: what widgets call.
        preset: that is chosen at first.
    """
    with gr.Blocks(title="midms", analytics_enabled=False, delete_cache=(_SWEEP, _KEPT), fill_width=True) as blocks:
        page = page_of(preset)
        cleared = [page.desk.result, *page.below.of_result(), page.regions.board, page.regions.opened, *page.more]
        _wire_settings(handlers, page)
        _wire_inputs(handlers, page, cleared)
        _wire_run(handlers, page, cleared)
        _wire_clicks(handlers, page)
        if preset not in PRESETS:  # of those, none that comes with the package wants annotations
            wanted = [page.settings.preset, page.settings.parts["condition"]]
            blocks.load(handlers.wants_annotations, wanted, page.desk.annotations, **_QUIET)
        blocks.unload(handlers.close)
    return blocks


def _wire_settings(handlers: Handlers, page: Widgets) -> None:
    for menu, lines in page.settings.lines.items():
        menu.change(_line_of(lines), menu, menu, **_QUICK)
    wanted = [page.settings.preset, page.settings.parts["condition"]]
    for menu in wanted:
        menu.input(handlers.wants_annotations, wanted, page.desk.annotations, **_QUIET)


def _wire_inputs(handlers: Handlers, page: Widgets, cleared: list[Any]) -> None:
    desk, board, chosen = page.desk, page.regions.board, page.settings.chosen()
    drawing, pictures = desk.drawing_file, desk.exemplar_files

    def open_drawing(values: dict[Any, Any], request: gr.Request) -> list[Any]:
        return handlers.open_drawing(values[drawing], _choices(page.settings, values), request)

    def lay_out(values: dict[Any, Any], request: gr.Request) -> Any:
        return handlers.lay_out(values[desk.pad], values[board], _choices(page.settings, values), request)

    drawing.upload(open_drawing, {drawing, *chosen}, [drawing, desk.pad, *cleared], **_QUIET)
    pictures.upload(handlers.open_exemplars, pictures, [pictures, *desk.exemplars, *cleared], **_QUIET)
    desk.annotations.upload(handlers.open_annotations, desk.annotations, desk.annotations, **_QUIET)
    page.regions.opened.expand(lay_out, {desk.pad, board, *chosen}, board, **_QUIET)


def _wire_run(handlers: Handlers, page: Widgets, cleared: list[Any]) -> None:
    settings, desk, below, board = page.settings, page.desk, page.below, page.regions.board

    def run(values: dict[Any, Any], request: gr.Request, progress: gr.Progress = gr.Progress()) -> list[Any]:  # noqa: B008
        choices = _choices(settings, values)
        return handlers.translate(values[desk.pad], values[board], choices, request, progress)

    def then_run(before: Any) -> None:
        made = before.then(
            run,
            {desk.pad, board, *settings.chosen()},
            [below.answer, desk.result, below.view, *desk.exemplars, below.download, *page.more],
            show_progress_on=[desk.result],
        )
        made.success(handlers.archive, None, below.download, **_QUIET)

    then_run(desk.run.click(handlers.begin, queue=False))
    for name, button in desk.examples.items():
        loaded = button.click(
            _of_example(handlers, name),
            desk.example_number,
            [settings.preset, desk.example_number, desk.pad, *desk.exemplars, *cleared],
            **_QUIET,
        )
        then_run(loaded)
    desk.cancel.click(handlers.cancel, queue=False)
    below.view.input(handlers.view, below.view, desk.result, **_QUICK)


def _wire_clicks(handlers: Handlers, page: Widgets) -> None:
    desk, below = page.desk, page.below
    marked: list[Any] = [below.answer, below.view, desk.result, *desk.exemplars, below.hints]
    desk.result.select(handlers.click_result, [below.mode, below.colour], marked, **_QUICK)
    for number, exemplar in enumerate(desk.exemplars):
        exemplar.select(_of_exemplar(handlers, number), [below.mode], marked, **_QUICK)
    below.mode.change(lambda mode: gr.update(visible=mode == COLOUR), below.mode, below.colour, **_QUICK)
    below.forget.click(handlers.forget_hints, None, below.hints, **_QUICK)


def _choices(settings: Sidebar, values: dict[Any, Any]) -> Choices:
    names = {slot: values[menu] for slot, menu in settings.parts.items()}
    return choices_of(values[settings.preset], names, values[settings.style], values[settings.seed])


def _line_of(lines: Mapping[str, str]) -> Callable[[str], Any]:
    """What a choice in a menu calls: its line is shown."""
    return lambda name: gr.update(info=lines[name])


def _of_example(handlers: Handlers, preset: str) -> Callable[..., list[Any]]:
    """What a button of an example calls."""

    def run(number: int, request: gr.Request) -> list[Any]:
        handlers.begin(request)
        return [preset, *handlers.take_example(number, preset == "midm-lineart", request)]

    return run


def _of_exemplar(handlers: Handlers, number: int) -> Callable[..., list[Any]]:
    """What a click on one of the exemplars calls."""

    def run(mode: str, click: gr.SelectData, request: gr.Request) -> list[Any]:
        return handlers.click_exemplar(number, mode, click, request)

    return run
