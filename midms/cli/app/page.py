"""The widgets of the app's page, from top to bottom; what they call is in `wiring`, how they look in `style`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import gradio as gr
from PIL import Image

from midms.cli.app.brushes import BRUSH_OPACITY, BRUSHES
from midms.cli.app.choices import AS_IT_IS, EXCHANGED, part_menu, preset_menu
from midms.cli.app.handlers import ASK, MODES
from midms.cli.app.session import EXEMPLARS
from midms.cli.app.updates import NO_HINTS, VIEWS
from midms.cli.app.uploads import BYTES, MEGAPIXELS

_WORDS = """# Your drawing, in a picture's colours
Draw, or drop a drawing. Drop a picture whose colours you like. Translate, then click anywhere in the result to see
where it comes from.
"""
_EXAMPLES = {"midm-faces": "Try a face", "midm-lineart": "Try line art"}
_LIMITS = f"Files of at most {BYTES >> 20} MB and {MEGAPIXELS} megapixels. Nothing leaves this machine."
_REGIONS = """Paint over a part of the drawing, on the left, and a part of a picture in one colour: the one takes from
the other and from nothing else. What is not painted takes from what is not painted. Then translate.
"""
_HEIGHT, _NARROW = 400, 230
_CANVAS = 512


class Sidebar(NamedTuple):
    """The sidebar.

    Attributes:
        preset: the menu of presets.
        style: from structure to style.
        seed: of the noise.
        parts: the menu of each slot.
        lines: what is said of each choice of a menu.
    """

    preset: gr.Dropdown
    style: gr.Slider
    seed: gr.Number
    parts: dict[str, gr.Dropdown]
    lines: dict[gr.Dropdown, Mapping[str, str]]

    def chosen(self) -> set[Any]:
        """All that a visitor chooses."""
        return {self.preset, self.style, self.seed, *self.parts.values()}


class Desk(NamedTuple):
    """Drawing, exemplars and result side by side."""

    examples: dict[str, gr.Button]
    example_number: gr.State
    pad: gr.ImageEditor
    drawing_file: gr.File
    exemplars: list[gr.Image]
    exemplar_files: gr.File
    annotations: gr.File
    result: gr.Image
    run: gr.Button
    cancel: gr.Button


class Below(NamedTuple):
    """What is said of the result, what a click on it means, what is shown of it, and all of it as a file."""

    answer: gr.HTML
    mode: gr.Radio
    colour: gr.ColorPicker
    hints: gr.Markdown
    forget: gr.Button
    view: gr.Radio
    download: gr.DownloadButton

    def of_result(self) -> list[Any]:
        """Those that are cleared with a result."""
        return [self.view, self.answer, self.hints, self.download]


class Regions(NamedTuple):
    """Where regions are painted."""

    board: gr.ImageEditor
    opened: gr.Accordion


class More(NamedTuple):
    """What else is shown of a result."""

    before_after: gr.ImageSlider
    stages: gr.Gallery
    warp: gr.Image
    confidence: gr.Image
    layers: gr.Gallery


class Widgets(NamedTuple):
    """All widgets that call something, or are given something."""

    settings: Sidebar
    desk: Desk
    below: Below
    regions: Regions
    more: More


def page_of(preset: str) -> Widgets:
    """The widgets, inside of the blocks that are open.

    Args:
        preset: that is chosen at first.
    """
    return Widgets(_settings(preset), _desk(), _below(), _regions(), _more())


def _settings(preset: str) -> Sidebar:
    lines: dict[gr.Dropdown, Mapping[str, str]] = {}

    def menu(of: Mapping[str, str], value: str, label: str, elem_id: str) -> gr.Dropdown:
        made = gr.Dropdown(
            [*of], value=value, label=label, info=of[value], elem_id=elem_id, elem_classes="menu", filterable=False
        )
        lines[made] = of
        return made

    with gr.Sidebar(width=300, open=True):
        presets = menu(preset_menu(preset), preset, "what it knows", "preset")
        ends = "0 keeps to the drawing, 1 takes all of the picture's style"
        style = gr.Slider(0, 1, 0.5, step=0.05, label="style", info=ends, elem_id="style")
        again = "another number, another try"
        seed = gr.Number(0, label="seed", info=again, precision=0, minimum=0, maximum=2**31, elem_id="seed")
        with gr.Accordion("Parts", open=False, elem_id="parts"):
            parts = {slot: menu(part_menu(slot), AS_IT_IS, slot, f"part-{slot}") for slot in EXCHANGED}
        gr.Markdown(_LIMITS, elem_classes="small")
    return Sidebar(presets, style, seed, parts, lines)


def _desk() -> Desk:
    clicked: dict[str, Any] = {"format": "png", "interactive": False, "buttons": [], "elem_classes": "clicked"}
    dropped: dict[str, Any] = {"height": 58, "elem_classes": "dropped", "show_label": False}
    with gr.Row(elem_id="top"):
        gr.Markdown(_WORDS, elem_id="words")
        examples = {
            name: gr.Button(title, elem_id=f"example-{i}", elem_classes="example", min_width=110)
            for i, (name, title) in enumerate(_EXAMPLES.items(), 1)
        }
    blank = Image.new("RGB", (_CANVAS, _CANVAS), "white")
    with gr.Row(elem_id="desk", equal_height=False):
        with gr.Column(min_width=_NARROW):
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
            )
            drawing_file = gr.File(file_types=["image", ".json"], elem_id="drawing-file", **dropped)
        with gr.Column(min_width=_NARROW):
            gr.Markdown(f"**2** Pictures to take from, one to {EXEMPLARS}", elem_classes="step")
            with gr.Row(equal_height=False, elem_id="exemplars"):
                exemplars = [
                    gr.Image(show_label=False, visible=i == 1, min_width=90, elem_id=f"exemplar-{i}", **clicked)
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
        with gr.Column(min_width=_NARROW):
            gr.Markdown("**3** The result", elem_classes="step")
            result = gr.Image(show_label=False, elem_id="result", **clicked)
            with gr.Row(elem_id="go"):
                run = gr.Button("Translate", variant="primary", elem_id="run", min_width=120, scale=3)
                cancel = gr.Button("Cancel", elem_id="cancel", min_width=70, scale=1)
    return Desk(examples, gr.State(0), pad, drawing_file, exemplars, files, annotations, result, run, cancel)


def _below() -> Below:
    with gr.Row(elem_id="below", equal_height=False):
        with gr.Column(elem_id="said"):
            answer = gr.HTML("", elem_id="answer", padding=False)
            with gr.Row(elem_classes="later"):
                mode = gr.Radio(MODES, value=ASK, label="A click on the result", elem_id="mode")
                colour = gr.ColorPicker("#c04020", label="colour", visible=False, elem_id="colour", min_width=120)
        with gr.Column(elem_classes="later"):
            view = gr.Radio(VIEWS, value=VIEWS[0], show_label=False, container=False, elem_id="view")
            download = gr.DownloadButton("Download all of it", interactive=False, elem_id="download")
            with gr.Row(elem_id="hinted"):
                hints = gr.Markdown(NO_HINTS, elem_id="hints")
                forget = gr.Button("Forget ties and colours", size="sm", elem_id="forget", min_width=120)
    return Below(answer, mode, colour, hints, forget, view, download)


def _regions() -> Regions:
    with gr.Accordion("Say what goes with what, with brushes", open=False, elem_id="regions") as opened:
        gr.Markdown(_REGIONS)
        colours: list[str | tuple[str, float]] = [(one, BRUSH_OPACITY) for one in BRUSHES.values()]
        board = gr.ImageEditor(
            type="pil",
            format="png",
            sources=(),
            brush=gr.Brush(default_size=28, colors=colours, color_mode="fixed"),
            layers=False,
            transforms=(),
            show_label=False,
            elem_id="board",
            buttons=[],
            height=_HEIGHT,
        )
    return Regions(board, opened)


def _more() -> More:
    usual: dict[str, Any] = {"format": "png", "buttons": [], "elem_classes": "shown"}
    with gr.Tabs(elem_classes="later"):
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
    return More(before_after, stages, warp, confidence, layers)
