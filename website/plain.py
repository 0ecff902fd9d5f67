"""What looks like HTML in a text is no HTML: `<q_i, k_j>` is an inner product."""

from __future__ import annotations

from markdown import Extension, Markdown


class Plain(Extension):
    """Markdown without HTML in its lines."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Leave such tags as they are."""
        md.inlinePatterns.deregister("html")


def makeExtension(**_: object) -> Extension:
    """What Markdown asks for."""
    return Plain()
