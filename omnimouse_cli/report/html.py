"""Parts of self-contained HTML pages: document, sections, tables, figures, choices."""

import base64
import hashlib
import html
import json
from collections.abc import Collection, Iterable, Sequence
from importlib.resources import files

from omnimouse_cli.report.svg import Figure

STYLE = files(__package__).joinpath("page.css").read_text()
# Of a longer table only the first rows are printed, as page.css says too.
PRINTED_ROWS = 40
SCRIPT = files(__package__).joinpath("page.js").read_text()


def render_document(title: str, parts: Iterable[str], *, has_script: bool = False) -> str:
    """Return the HTML of a page.

    Its content security policy forbids the browser to load anything from elsewhere and to run
    any script but ours.

    Args:
        title: Title of the window, as plain text.
        parts: HTML of its parts, from top to bottom.
        has_script: Whether the page has sortable tables or choices.
    """
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    scripts = f"script-src 'sha256-{digest}'; " if has_script else ""
    policy = f"default-src 'none'; {scripts}style-src 'unsafe-inline'; img-src data:"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>"
        f"<style>{STYLE}</style></head><body><main>\n"
        + "\n".join(parts)
        + "\n</main>"
        + (f"<script>{SCRIPT}</script>" if has_script else "")
        + "</body></html>\n"
    )


def render_figure(figure: Figure | None) -> str:
    """Return the HTML of a figure with its caption; empty for None."""
    if figure is None:
        return ""
    caption = escape(figure.caption)
    return (
        f'<figure role="img" aria-label="{caption}"><div class="panels">{figure.svg}</div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def render_section(title: str, body: str, *, name: str | None = None) -> str:
    """Return the HTML of a section.

    Args:
        title: Its heading, as plain text.
        body: Its HTML.
        name: Identifier that links of the page lead to.
    """
    identifier = "" if name is None else f' id="{escape(name)}"'
    return f"<section{identifier}><h2>{escape(title)}</h2>{body}</section>"


def render_details(summary: str, body: str, *, is_open: bool = False) -> str:
    """Return the HTML of a part that the reader opens; it is printed in any case.

    Args:
        summary: What it holds, as plain text.
        body: Its HTML.
        is_open: Whether it is open at first.
    """
    state = " open" if is_open else ""
    return f"<details{state}><summary>{escape(summary)}</summary>{body}</details>"


def render_table(
    names: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    text: Collection[str] = (),
    is_sortable: bool = False,
    is_long: bool = False,
) -> str:
    """Return the HTML of a table whose cells are plain text; on paper it ends after 40 rows.

    Args:
        names: Headings.
        rows: Cells.
        text: Headings of columns that hold sentences or long names, which break into lines.
        is_sortable: Whether a click on a heading sorts the rows; the page needs its script.
        is_long: Whether the table scrolls in a box of its own.
    """
    rows = list(rows)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    starts = ['<td class="text">' if name in text else "<td>" for name in names]
    body = "".join(
        "<tr>"
        + "".join(f"{start}{escape(cell)}</td>" for start, cell in zip(starts, row, strict=True))
        + "</tr>"
        for row in rows
    )
    box = "wide scroll" if is_long else "wide"
    if len(rows) > PRINTED_ROWS:
        box += " many"
    kind = ' class="sortable"' if is_sortable else ""
    return (
        f'<div class="{box}"><table{kind}>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def render_choices(names: Sequence[str], items: Iterable[tuple[Sequence[str], str]]) -> str:
    """Return the HTML of elements of which the reader chooses one; the page needs its script.

    Args:
        names: What is chosen, first to last, as `("session", "neuron")`.
        items: The keys of each element, one for each name, and its HTML.
    """
    parts = (
        f'<div data-choice="{escape(json.dumps(list(keys)))}">{body}</div>' for keys, body in items
    )
    return f'<div class="choose" data-names="{escape(json.dumps(names))}">{"".join(parts)}</div>'


def escape(value: str) -> str:
    """Return plain text as HTML, also for values of attributes."""
    return html.escape(value, quote=True)
