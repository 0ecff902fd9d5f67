"""Styles of the app's page."""

from __future__ import annotations

STYLE = """
footer { display: none !important; }
#top { align-items: center; } #words { flex: 1 1 20rem; } #words h1 { font-size: 1.45rem; margin: 0 0 .2rem; }
#words p { margin: 0; } #words strong, .step strong { color: var(--primary-600); }
.example { flex: 0 0 auto !important; } .small p { font-size: .8rem; color: var(--body-text-color-subdued); }
.step p { margin: 0; font-weight: 600; } .step strong { margin-right: .25rem; }
.clicked img { cursor: crosshair; width: 100%; object-fit: contain; } .clicked .icon-button-wrapper { display: none; }
.menu input { text-overflow: ellipsis; } .menu [role=listbox] { width: max-content !important; max-width: 55rem; }
#exemplar-1 .empty, #result .empty { height: 400px; } .clicked img { max-height: 70vh; }
#result .empty svg, #exemplar-1 .empty svg { display: none; }
#result .empty::after, #exemplar-1 .empty::after { color: var(--body-text-color-subdued); text-align: center;
  padding: 0 1.5rem; content: "A picture whose colours and textures you want, of the same kind as the drawing"; }
#result .empty::after { content: "The result appears here"; }
.dropped .wrap { flex-direction: row; gap: .5rem; font-size: 0; } .dropped .icon-wrap { width: 18px; margin: 0; }
.dropped .wrap::after { font-size: .9rem; content: "Drop pictures here, or click"; }
#drawing-file .wrap::after { content: "Drop a drawing here, or click"; } .dropped .or { display: none; }
#view label { padding: .25rem .45rem; font-size: .8rem; }
.dropped, .clicked { border: 1px dashed var(--border-color-primary) !important; }
.clicked { border-style: solid !important; }
.said { border-left: 4px solid var(--primary-500); padding: .5rem 1rem; background: var(--background-fill-secondary);
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
"""CSS beside Gradio's own."""
