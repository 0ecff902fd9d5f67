"""How the app's page looks: the colours of its theme, and CSS beside Gradio's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from midms.cli.app.choices import EXCHANGED, part_menu, preset_menu

_STYLE = """
footer { display: none !important; }
#top { align-items: center; flex-wrap: wrap; } #words { flex: 1 1 22rem; } #words p { margin: 0; max-width: 46rem; }
#words h1 { font-size: 1.6rem; margin: 0 0 .2rem; }
.example { flex: 0 0 auto !important; } .small p { font-size: .8rem; color: var(--body-text-color-subdued); }

/* The desk: three squares in a row, and below each what fills it. */
#desk, #below { display: grid; gap: 1rem 1.25rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 240px), 1fr)); }
.step p { margin: 0; font-weight: 600; line-height: 1.75rem; } .step strong { color: var(--primary-600); }
#pad, #exemplars, #result { aspect-ratio: 1; height: auto !important; min-height: 0; width: 100%; }
#pad, #exemplars > *, #result { border: 1px solid var(--border-color-primary) !important; border-radius: 12px;
  background: var(--block-background-fill); }
#exemplars { display: grid; grid-template-columns: repeat(auto-fit, minmax(max(45%, 90px), 1fr)); grid-auto-rows: 1fr;
  gap: .5rem; }
#exemplars > *, .clicked .image-container, .clicked .image-frame, .clicked .empty { height: 100%; min-height: 0; }
.clicked img { cursor: crosshair; width: 100%; height: 100%; object-fit: contain; }
.clicked .icon-button-wrapper, .clicked .empty svg, .dropped .or { display: none; }
.clicked .empty::after { color: var(--body-text-color-subdued); text-align: center; padding: 0 1.5rem; }
#exemplar-1 .empty::after { content: "A picture whose colours and textures you want, of the same kind as the drawing"; }
#result .empty::after { content: "The result appears here"; }
.dropped { border: 1px dashed var(--border-color-primary) !important; border-radius: 12px; }
.dropped .wrap { flex-direction: row; gap: .5rem; font-size: 0; min-height: 0; }
.dropped .icon-wrap { width: 18px; margin: 0; }
.dropped .wrap::after { font-size: .9rem; content: "Drop pictures here, or click"; }
#drawing-file .wrap::after { content: "Drop a drawing here, or click"; }
#go button { height: 58px; }

/* The pad: the drawing fills the square, whose border Gradio keeps 30 pixels from it; its tools stand above it. */
#pad .pixi-target { inset: -30px; width: calc(100% + 60px); height: calc(100% + 60px);
  clip-path: inset(30px round 11px); }
#pad .toolbar-wrap, #pad .top-panel { position: absolute; top: -2.35rem; flex-direction: row; width: auto; padding: 0;
  left: auto; border: none; background: none; box-shadow: none; }
#pad .top-panel { right: 0; } #pad .toolbar-wrap { right: 5.2rem; }
#pad .half-container { flex-direction: row; width: auto; border: none; padding: 0; }
#pad [aria-label=Pan], #pad [aria-label^=Zoom], #pad .zoom-number, #pad .separator, #pad [aria-label=Color]
  { display: none; }

/* What is seen once there is a result, and once there are hints. */
.gradio-container:not(:has(#result img)) .later, #hinted:not(:has(#hints p)) { display: none !important; }
#said { grid-column: span 2; } #mode { padding: 0; }
#view .wrap { flex-wrap: nowrap; gap: .35rem; }
#view label { flex: 1; justify-content: center; padding: .45rem .2rem; }
#view input { position: absolute; opacity: 0; } #view span { margin: 0; font-size: .85rem; white-space: nowrap; }

/* The sidebar. A menu's box has the name, and below it is a line on it; when it is open, below each name. */
.menu .container { display: flex; flex-direction: column; } .menu .info-text { order: 1; margin: .5rem 0 0; }
.menu [role=listbox] { width: max-content !important; max-width: min(30rem, 90vw); }
.menu [role=option] { flex-wrap: wrap; width: auto !important; }
.menu [role=option]::after { flex: 1 0 100%; padding-left: 1.3rem; font-size: .8rem; line-height: 1.3;
  color: var(--body-text-color-subdued); }
#style .head { display: grid; grid-template-columns: 1fr auto; } #style label { display: contents; }
#style .info-text { grid-area: 2 / 1 / 2 / span 2; }

/* Answers. */
.said { border-left: 4px solid var(--primary-500); padding: .6rem 1rem; background: var(--block-background-fill);
  border-radius: 4px; font-variant-numeric: tabular-nums; }
.said p { margin: 0; font-size: 1.05rem; } .said ul { margin: .3rem 0 0; padding-left: 1.2rem; }
.said dl { display: flex; flex-wrap: wrap; gap: .2rem 2rem; margin: .5rem 0 0; }
.said dt { font-size: .8rem; color: var(--body-text-color-subdued); } .said dd { margin: 0; font-weight: 600; }
.said .chip { display: inline-block; width: 1.3rem; height: 1.3rem; border-radius: 4px; vertical-align: -.25rem;
  margin: 0 .5rem 0 .3rem; box-shadow: 0 0 0 1px #0003; }
.said .legend { font-size: .8rem; color: var(--body-text-color-subdued); margin-top: .4rem; }
.said .legend span { display: inline-block; width: 8rem; height: .6rem; border-radius: 3px;
  background: linear-gradient(90deg, #2a2c38, #ffb028); }
"""


def page_style(preset: str) -> str:
    """CSS of the page.

    Args:
        preset: that is chosen at first.
    """
    menus = {"preset": preset_menu(preset)} | {f"part-{slot}": part_menu(slot) for slot in EXCHANGED}
    return _STYLE + "\n".join(_lines(menus))


def _lines(menus: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """In an opened menu, a line below each name."""
    for menu, lines in menus.items():
        for name, line in lines.items():
            if line:
                yield f'#{menu} [aria-label="{_string(name)}"]::after {{ content: "{_string(line)}"; }}'


def _string(text: str) -> str:
    """What CSS has between quotation marks."""
    return "".join(one if one.isalnum() or one in " -_.,:;()/" else f"\\{ord(one):x} " for one in text)
