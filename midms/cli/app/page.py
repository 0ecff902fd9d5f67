"""The app's page: its widgets, and what each of them calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import gradio as gr

from midms.cli.app.choices import AS_IT_IS, EXCHANGED, choices_of, part_menu, preset_menu
from midms.cli.app.handlers import ASK, COLOUR, MODES, NO_HINTS, VIEWS, Handlers
from midms.cli.app.session import EXEMPLARS
from midms.cli.app.uploads import BYTES, MEGAPIXELS

STYLE = """
.clicked img { image-rendering: pixelated; cursor: crosshair; width: 100%; object-fit: contain; }
.shown img { image-rendering: pixelated; }
.menu input { text-overflow: ellipsis; } .menu [role=listbox] { width: max-content !important; max-width: 55rem; }
#answer { min-height: 3.5rem; } footer { display: none !important; }
"""
_WORDS = f"""### A drawing takes the colours of a picture
Draw, or drop a drawing; drop one to {EXEMPLARS} pictures, its exemplars; translate. Then click any pixel of the result
to see where it comes from, or a place of an exemplar to see where it went. A file may have {BYTES >> 20} MB and
{MEGAPIXELS} megapixels; nothing leaves this machine.
"""
_HEIGHT = 420
_SWEEP, _KEPT = 60, 3600
"""Seconds between searches for old temporary files, and until one is old."""


class _Settings(NamedTuple):
    example: gr.Button
    example_number: gr.State
    preset: gr.Dropdown
    style: gr.Slider
    seed: gr.Number
    parts: dict[str, gr.Dropdown]


class _Desk(NamedTuple):
    """Drawing, result and exemplars side by side, and what is said of them."""

    pad: gr.ImageEditor
    drawing_file: gr.File
    result: gr.Image
    view: gr.Radio
    exemplars: list[gr.Image]
    exemplar_files: gr.File
    run: gr.Button
    cancel: gr.Button
    answer: gr.Markdown


class _Clicks(NamedTuple):
    """What a click on the result means."""

    mode: gr.Radio
    colour: gr.ColorPicker
    hints: gr.Markdown
    forget: gr.Button


class _More(NamedTuple):
    """What else is shown of a result."""

    before_after: gr.ImageSlider
    stages: gr.Gallery
    warp: gr.Image
    confidence: gr.Image
    layers: gr.Gallery
    download: gr.DownloadButton


def app_page(handlers: Handlers, preset: str) -> gr.Blocks:
    """All of it.

    Args:
        handlers: what widgets call.
        preset: that is chosen at first.
    """
    with gr.Blocks(title="midms", analytics_enabled=False, delete_cache=(_SWEEP, _KEPT), fill_width=True) as blocks:
        settings = _settings(preset)
        gr.Markdown(_WORDS)
        desk, clicks, more = _desk(), _clicks(), _more()
        _wire_inputs(handlers, settings, desk, clicks)
        _wire_run(handlers, settings, desk, more)
        _wire_clicks(handlers, desk, clicks)
        blocks.unload(handlers.close)
    return blocks


def _settings(preset: str) -> _Settings:
    with gr.Sidebar(width=330):
        example = gr.Button("Take an example", elem_id="example")
        menu = gr.Dropdown(preset_menu(preset), value=preset, label="preset", elem_id="preset", elem_classes="menu")
        ends = "0 keeps to the drawing's structure, 1 to the picture's style"
        style = gr.Slider(0, 1, 0.5, step=0.05, label="structure to style", info=ends, elem_id="style")
        seed = gr.Number(0, label="seed", precision=0, minimum=0, maximum=2**31, elem_id="seed")
        menu_of: dict[str, Any] = {"value": AS_IT_IS, "elem_classes": "menu"}
        with gr.Accordion("Parts", open=False, elem_id="parts"):
            exchanged = {
                slot: gr.Dropdown(part_menu(slot), label=slot, elem_id=f"part-{slot}", **menu_of) for slot in EXCHANGED
            }
    return _Settings(example, gr.State(0), menu, style, seed, exchanged)


def _desk() -> _Desk:
    clicked: dict[str, Any] = {"format": "png", "interactive": False, "buttons": [], "elem_classes": "clicked"}
    dropped: dict[str, Any] = {"file_types": ["image"], "height": 130}
    with gr.Row(equal_height=False):
        with gr.Column(min_width=240):
            pad = gr.ImageEditor(
                type="pil",
                format="png",
                sources=(),
                brush=gr.Brush(default_size=5, colors=["#000000"], color_mode="fixed"),
                layers=False,
                transforms=(),
                canvas_size=(512, 512),
                label="drawing",
                elem_id="pad",
                buttons=[],
                height=_HEIGHT,
            )
            drawing_file = gr.File(label="a drawing", elem_id="drawing-file", **dropped)
        with gr.Column(min_width=240):
            result = gr.Image(label="result", elem_id="result", height=_HEIGHT, **clicked)
            view = gr.Radio(VIEWS, value=VIEWS[0], show_label=False, container=False, elem_id="view")
            with gr.Row():
                run = gr.Button("Translate", variant="primary", elem_id="run", min_width=120)
                cancel = gr.Button("Cancel", elem_id="cancel", min_width=80)
        with gr.Column(min_width=240):
            with gr.Row(equal_height=False):
                exemplars = [
                    gr.Image(label=f"exemplar {i}", visible=i == 1, min_width=160, elem_id=f"exemplar-{i}", **clicked)
                    for i in range(1, 1 + EXEMPLARS)
                ]
            files = gr.File(label="exemplars", file_count="multiple", elem_id="exemplar-files", **dropped)
    answer = gr.Markdown("", elem_id="answer")
    return _Desk(pad, drawing_file, result, view, exemplars, files, run, cancel, answer)


def _clicks() -> _Clicks:
    with gr.Row(equal_height=False):
        mode = gr.Radio(MODES, value=ASK, label="a click on the result", elem_id="mode", scale=3)
        colour = gr.ColorPicker("#c04020", label="colour", visible=False, elem_id="colour", min_width=120)
        with gr.Column(min_width=160):
            hints = gr.Markdown(NO_HINTS, elem_id="hints")
            forget = gr.Button("Forget hints", size="sm", elem_id="forget")
    return _Clicks(mode, colour, hints, forget)


def _more() -> _More:
    usual: dict[str, Any] = {"format": "png", "buttons": [], "elem_classes": "shown"}
    with gr.Tabs():
        with gr.Tab("before and after"):
            before_after = gr.ImageSlider(label="drawing, result", max_height=_HEIGHT, elem_id="slider", **usual)
        with gr.Tab("stages"):
            stages = gr.Gallery(label="the prediction after each level", columns=6, elem_id="stages", **usual)
        with gr.Tab("warp and confidence"), gr.Row():
            warp = gr.Image(label="first warp", interactive=False, height=_HEIGHT, **usual)
            confidence = gr.Image(label="confidence", interactive=False, height=_HEIGHT, **usual)
        with gr.Tab("layers"):
            gr.Markdown("The finisher `composite`, among the parts, gives colours, lines and regions of line art.")
            layers = gr.Gallery(label="layers", columns=3, visible=False, elem_id="layers", **usual)
    download = gr.DownloadButton("Download all of it", interactive=False, elem_id="download")
    return _More(before_after, stages, warp, confidence, layers, download)


def _wire_inputs(handlers: Handlers, settings: _Settings, desk: _Desk, clicks: _Clicks) -> None:
    hidden: dict[str, Any] = {"show_progress": "hidden"}
    drawing, pictures = desk.drawing_file, desk.exemplar_files
    drawing.upload(handlers.open_drawing, drawing, [drawing, desk.pad, clicks.hints], **hidden)
    pictures.upload(handlers.open_exemplars, pictures, [pictures, *desk.exemplars, clicks.hints], **hidden)
    shown = [settings.example_number, desk.pad, *desk.exemplars, clicks.hints]
    settings.example.click(handlers.take_example, [settings.example_number, settings.preset], shown, **hidden)


def _wire_run(handlers: Handlers, settings: _Settings, desk: _Desk, more: _More) -> None:
    pad, preset, style, seed = desk.pad, settings.preset, settings.style, settings.seed

    def run(values: dict[Any, Any], request: gr.Request, progress: gr.Progress = gr.Progress()) -> list[Any]:  # noqa: B008
        names = {slot: values[menu] for slot, menu in settings.parts.items()}
        choices = choices_of(values[preset], names, values[style], values[seed])
        return handlers.translate(values[pad], choices, request, progress)

    given = {pad, preset, style, seed, *settings.parts.values()}
    shown: list[Any] = [desk.answer, desk.result, desk.view, *desk.exemplars, *more]
    asked = desk.run.click(handlers.begin, queue=False)
    made = asked.then(run, given, shown, show_progress_on=[desk.result])
    made.success(handlers.archive, None, more.download, show_progress="hidden")
    desk.cancel.click(handlers.cancel, queue=False)
    desk.view.input(handlers.view, desk.view, desk.result, show_progress="hidden", concurrency_limit=4)


def _wire_clicks(handlers: Handlers, desk: _Desk, clicks: _Clicks) -> None:
    marked: list[Any] = [desk.answer, desk.result, *desk.exemplars, clicks.hints]
    quick: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": 4}
    desk.result.select(handlers.click_result, [clicks.mode, clicks.colour], marked, **quick)
    for number, exemplar in enumerate(desk.exemplars):
        exemplar.select(_of_exemplar(handlers, number), [clicks.mode], marked, **quick)
    clicks.mode.change(lambda mode: gr.update(visible=mode == COLOUR), clicks.mode, clicks.colour, **quick)
    clicks.forget.click(handlers.forget_hints, None, clicks.hints, **quick)


def _of_exemplar(handlers: Handlers, number: int) -> Callable[..., list[Any]]:
    """What a click on one of the exemplars calls."""

    def run(mode: str, click: gr.SelectData, request: gr.Request) -> list[Any]:
        return handlers.click_exemplar(number, mode, click, request)

    return run
