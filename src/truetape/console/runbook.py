"""The runbook as a page: `docs/RUNBOOK.md` in HTML. Shows no other document."""

from functools import cache
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

from truetape.host.errors import NotThereError
from truetape.host.resources import folder
from truetape.host.runbook import anchor


@cache
def page() -> str:
    """Return the runbook as HTML; each heading has the anchor that links to it.

    Markup in the document is shown as text. Links to other documents become plain text: this
    console does not serve them. Raise NotThereError if the installation lacks the document.
    """
    file = folder("docs") / "RUNBOOK.md"
    if not file.is_file():
        raise NotThereError(f"no {file}; reinstall truetape, or set TRUETAPE_RUNBOOK_URL")
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(file.read_text("utf-8"))
    for opening, content in pairwise(tokens):
        if opening.type == "heading_open":
            opening.attrSet("id", anchor(_text(content)))
        _drop_links_to_documents(opening)
    return str(parser.renderer.render(tokens, parser.options, {}))


def _text(heading: Token) -> str:
    return "".join(part.content for part in heading.children or [])


def _drop_links_to_documents(token: Token) -> None:
    """Turn the links of a paragraph that lead to other documents into spans."""
    opened: list[bool] = []
    for part in token.children or []:
        if part.type == "link_open":
            opened.append(str(part.attrGet("href")).startswith(("#", "https://", "http://")))
        if part.type in ("link_open", "link_close"):
            is_kept = opened[-1] if part.type == "link_open" else opened.pop()
            if not is_kept:
                part.tag, part.attrs = "span", {}
