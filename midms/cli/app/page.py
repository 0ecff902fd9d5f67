"""The app's page: its widgets, and what each of them calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import gradio as gr
from PIL import Image

from midms.cli.app.brushes import BRUSH_OPACITY, BRUSHES
from midms.cli.app.choices import AS_IT_IS, EXCHANGED, Choices, choices_of, part_menu, preset_menu
from midms.cli.app.handlers import ASK, COLOUR, MODES, NO_HINTS, VIEWS, Handlers
from midms.cli.app.session import EXEMPLARS
from midms.cli.app.uploads import BYTES, MEGAPIXELS
from midms.compose.presets import PRESETS

_WORDS = """# Your drawing, in a picture's colours
**1** Draw, or drop a drawing. **2** Drop a picture whose colours you like. **3** Translate, then click anywhere in the
result to see where it comes from.
"""
_LIMITS = f"Files of at most {BYTES >> 20} MB and {MEGAPIXELS} megapixels. Nothing leaves this machine."
_REGIONS = """Paint over a part of the drawing, on the left, and a part of a picture in one colour: the one takes from
the other and from nothing else. What is not painted takes from what is not painted. Then translate.
"""
_HEIGHT, _PAD = 400, 380
_CANVAS = 512
_SWEEP, _KEPT = 60, 3600
"""Seconds between searches for old temporary files, and until one is old."""


class _Settings(NamedTuple):
    preset: gr.Dropdown
    style: gr.Slider
    seed: gr.Number
    parts: dict[str, gr.Dropdown]


class _Desk(NamedTuple):
    """Drawing, exemplars and result side by side, and what is said of them."""

    examples: dict[str, gr.Button]
    example_number: gr.State
    pad: gr.ImageEditor
    drawing_file: gr.File
    exemplars: list[gr.Image]
    exemplar_files: gr.File
    annotations: gr.File
    result: gr.Image
    view: gr.Radio
    run: gr.Button
    cancel: gr.Button
    answer: gr.HTML


class _Hints(NamedTuple):
    """What a click on the result means, and regions."""

    mode: gr.Radio
    colour: gr.ColorPicker
    hints: gr.Markdown
    forget: gr.Button
    regions: gr.ImageEditor
    opened: gr.Accordion


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
        desk, hints, more = _desk(), _hints(), _more()
        cleared = [desk.result, desk.view, desk.answer, hints.hints, hints.regions, hints.opened, *more]
        _wire_inputs(handlers, settings, desk, hints, cleared)
        _wire_run(handlers, settings, desk, hints, more, cleared)
        _wire_clicks(handlers, desk, hints)
        if preset not in PRESETS:  # of those, none that comes with the package wants annotations
            wanted = [settings.preset, settings.parts["condition"]]
            blocks.load(handlers.wants_annotations, wanted, desk.annotations, show_progress="hidden")
        blocks.unload(handlers.close)
    return blocks


def _settings(preset: str) -> _Settings:
    with gr.Sidebar(width=290, open=True):
        menu = gr.Dropdown(
            preset_menu(preset), value=preset, label="what it knows", elem_id="preset", elem_classes="menu"
        )
        ends = "0 keeps to the drawing, 1 takes all of the picture's style"
        style = gr.Slider(0, 1, 0.5, step=0.05, label="style", info=ends, elem_id="style")
        again = "another number, another try"
        seed = gr.Number(0, label="seed", info=again, precision=0, minimum=0, maximum=2**31, elem_id="seed")
        menu_of: dict[str, Any] = {"value": AS_IT_IS, "elem_classes": "menu"}
        with gr.Accordion("Parts", open=False, elem_id="parts"):
            exchanged = {
                slot: gr.Dropdown(part_menu(slot), label=slot, elem_id=f"part-{slot}", **menu_of) for slot in EXCHANGED
            }
        gr.Markdown(_LIMITS, elem_classes="small")
    return _Settings(menu, style, seed, exchanged)


def _desk() -> _Desk:
    clicked: dict[str, Any] = {"format": "png", "interactive": False, "buttons": [], "elem_classes": "clicked"}
    dropped: dict[str, Any] = {"height": 58, "elem_classes": "dropped", "show_label": False}
    with gr.Row(elem_id="top"):
        gr.Markdown(_WORDS, elem_id="words")
        examples = {
            name: gr.Button(f"Try {what}", elem_id=f"example-{i}", elem_classes="example", min_width=110)
            for i, (name, what) in enumerate({"midm-faces": "a face", "midm-lineart": "line art"}.items(), 1)
        }
    blank = Image.new("RGB", (_CANVAS, _CANVAS), "white")
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300, scale=4):
            gr.Markdown("**1** Your drawing", elem_classes="step")
            pad = gr.ImageEditor(
                {"background": blank, "layers": [], "composite": blank},
                type="pil",
                format="png",
                sources=(),
                brush=gr.Brush(default_size=5, colors=["#000000"], color_mode="fixed"),
                layers=False,
                transforms=(),
                canvas_size=(_CANVAS, _CANVAS),
                show_label=False,
                elem_id="pad",
                buttons=[],
                height=_PAD,
            )
            drawing_file = gr.File(file_types=["image", ".json"], elem_id="drawing-file", **dropped)
        with gr.Column(min_width=240, scale=3):
            gr.Markdown(f"**2** Pictures to take from, one to {EXEMPLARS}", elem_classes="step")
            with gr.Row(equal_height=False, elem_id="exemplars"):
                exemplars = [
                    gr.Image(show_label=False, visible=i == 1, min_width=120, elem_id=f"exemplar-{i}", **clicked)
                    for i in range(1, 1 + EXEMPLARS)
                ]
            files = gr.File(file_count="multiple", file_types=["image"], elem_id="exemplar-files", **dropped)
            annotations = gr.File(
                file_count="multiple",
                file_types=["image", ".json"],
                visible=False,
                label="their label maps or keypoints, in this order",
                elem_id="annotation-files",
                height=130,
            )
        with gr.Column(min_width=240, scale=3):
            gr.Markdown("**3** The result", elem_classes="step")
            result = gr.Image(show_label=False, elem_id="result", **clicked)
            with gr.Row():
                run = gr.Button("Translate", variant="primary", elem_id="run", min_width=120, scale=3)
                cancel = gr.Button("Cancel", elem_id="cancel", min_width=70, scale=1)
            view = gr.Radio(VIEWS, value=VIEWS[0], show_label=False, container=False, elem_id="view")
    answer = gr.HTML("", elem_id="answer")
    number = gr.State(0)
    return _Desk(examples, number, pad, drawing_file, exemplars, files, annotations, result, view, run, cancel, answer)


def _hints() -> _Hints:
    with gr.Row(equal_height=True):
        mode = gr.Radio(MODES, value=ASK, label="A click on the result", elem_id="mode", scale=4)
        colour = gr.ColorPicker("#c04020", label="colour", visible=False, elem_id="colour", min_width=120)
        with gr.Column(min_width=140, scale=1):
            hints = gr.Markdown(NO_HINTS, elem_id="hints")
            forget = gr.Button("Forget ties and colours", size="sm", elem_id="forget")
    with gr.Accordion("Say what goes with what, with brushes", open=False, elem_id="regions") as opened:
        gr.Markdown(_REGIONS)
        regions = gr.ImageEditor(
            type="pil",
            format="png",
            sources=(),
            brush=gr.Brush(
                default_size=28, colors=[(one, BRUSH_OPACITY) for one in BRUSHES.values()], color_mode="fixed"
            ),
            layers=False,
            transforms=(),
            show_label=False,
            elem_id="board",
            buttons=[],
            height=_HEIGHT,
        )
    return _Hints(mode, colour, hints, forget, regions, opened)


def _more() -> _More:
    usual: dict[str, Any] = {"format": "png", "buttons": [], "elem_classes": "shown"}
    with gr.Tabs():
        with gr.Tab("before and after"):
            before_after = gr.ImageSlider(show_label=False, max_height=_HEIGHT, elem_id="slider", **usual)
        with gr.Tab("stages"):
            stages = gr.Gallery(label="the prediction after each level", columns=6, elem_id="stages", **usual)
        with gr.Tab("warp and confidence"), gr.Row():
            warp = gr.Image(label="first warp", interactive=False, height=_HEIGHT, **usual)
            confidence = gr.Image(label="confidence", interactive=False, height=_HEIGHT, **usual)
        with gr.Tab("layers"):
            gr.Markdown("The finisher `composite`, among the parts, gives colours, lines and regions of line art.")
            layers = gr.Gallery(label="layers", columns=3, visible=False, elem_id="layers", **usual)
    download = gr.DownloadButton(
        "Download all of it: pictures, flow, match, a page to click in, Python", interactive=False, elem_id="download"
    )
    return _More(before_after, stages, warp, confidence, layers, download)


def _chosen(settings: _Settings, values: dict[Any, Any]) -> Choices:
    names = {slot: values[menu] for slot, menu in settings.parts.items()}
    return choices_of(values[settings.preset], names, values[settings.style], values[settings.seed])


def _wire_inputs(handlers: Handlers, settings: _Settings, desk: _Desk, hints: _Hints, cleared: list[Any]) -> None:
    hidden: dict[str, Any] = {"show_progress": "hidden"}
    drawing, pictures = desk.drawing_file, desk.exemplar_files
    chosen = {settings.preset, settings.style, settings.seed, *settings.parts.values()}

    def open_drawing(values: dict[Any, Any], request: gr.Request) -> list[Any]:
        return handlers.open_drawing(values[drawing], _chosen(settings, values), request)

    def lay_out(values: dict[Any, Any], request: gr.Request) -> Any:
        return handlers.lay_out(values[desk.pad], values[hints.regions], _chosen(settings, values), request)

    drawing.upload(open_drawing, {drawing, *chosen}, [drawing, desk.pad, *cleared], **hidden)
    pictures.upload(handlers.open_exemplars, pictures, [pictures, *desk.exemplars, *cleared], **hidden)
    desk.annotations.upload(handlers.open_annotations, desk.annotations, desk.annotations, **hidden)
    for menu in (settings.preset, settings.parts["condition"]):
        wanted = [settings.preset, settings.parts["condition"]]
        menu.input(handlers.wants_annotations, wanted, desk.annotations, **hidden)
    hints.opened.expand(lay_out, {desk.pad, hints.regions, *chosen}, hints.regions, **hidden)


def _wire_run(
    handlers: Handlers, settings: _Settings, desk: _Desk, hints: _Hints, more: _More, cleared: list[Any]
) -> None:
    chosen = {settings.preset, settings.style, settings.seed, *settings.parts.values()}

    def run(values: dict[Any, Any], request: gr.Request, progress: gr.Progress = gr.Progress()) -> list[Any]:  # noqa: B008
        choices = _chosen(settings, values)
        return handlers.translate(values[desk.pad], values[hints.regions], choices, request, progress)

    def then_run(before: Any) -> None:
        made = before.then(
            run,
            {desk.pad, hints.regions, *chosen},
            [desk.answer, desk.result, desk.view, *desk.exemplars, *more],
            show_progress_on=[desk.result],
        )
        made.success(handlers.archive, None, more.download, show_progress="hidden")

    then_run(desk.run.click(handlers.begin, queue=False))
    for name, button in desk.examples.items():
        loaded = button.click(
            _of_example(handlers, name),
            desk.example_number,
            [settings.preset, desk.example_number, desk.pad, *desk.exemplars, *cleared],
            show_progress="hidden",
        )
        then_run(loaded)
    desk.cancel.click(handlers.cancel, queue=False)
    desk.view.input(handlers.view, desk.view, desk.result, show_progress="hidden", concurrency_limit=4)


def _wire_clicks(handlers: Handlers, desk: _Desk, hints: _Hints) -> None:
    marked: list[Any] = [desk.answer, desk.view, desk.result, *desk.exemplars, hints.hints]
    quick: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": 4}
    desk.result.select(handlers.click_result, [hints.mode, hints.colour], marked, **quick)
    for number, exemplar in enumerate(desk.exemplars):
        exemplar.select(_of_exemplar(handlers, number), [hints.mode], marked, **quick)
    hints.mode.change(lambda mode: gr.update(visible=mode == COLOUR), hints.mode, hints.colour, **quick)
    hints.forget.click(handlers.forget_hints, None, hints.hints, **quick)


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
