"""Parts of self-contained HTML pages: style, document, sections, tables and figures."""

import html
from collections.abc import Iterable, Sequence

from omnimouse_cli.report.svg import Figure

STYLE = """
:root { color-scheme: light dark; --ink: #1c2126; --paper: #ffffff; --faint: #66707a;
  --line: #d9dee3; --card: #f5f7f9; --accent: #3b7dd8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --paper: #14181c; --faint: #97a1ab;
  --line: #333b43; --card: #1d2329; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; margin: 0 0 .2rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
header p, figcaption, footer, summary { color: var(--faint); font-size: .9rem; }
header p { margin: 0; }
.verdict { background: var(--card); border-left: 4px solid var(--faint); border-radius: 4px;
  padding: .9rem 1.2rem; margin-top: 1.4rem; }
.verdict.data-limited, .verdict.parameter-limited { border-left-color: var(--accent); }
.verdict .word { font-size: 1.35rem; font-weight: 600; margin: 0; }
.verdict p { margin: .2rem 0; }
.formula { font-size: 1.1rem; }
ul { margin: .3rem 0; padding-left: 1.3rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums;
  margin: .5rem 0; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { font-weight: 600; }
td:last-child { white-space: normal; }
figure { margin: 1rem 0; overflow-x: auto; }
figure svg { max-width: 100%; height: auto; display: block; }
figcaption { max-width: 48rem; margin-top: .3rem; }
footer { margin-top: 3rem; }
@media print { main { max-width: none; } details { break-inside: avoid; } }
"""


def render_document(title: str, parts: Iterable[str]) -> str:
    """Return the HTML of a page.

    Args:
        title: Title of the window, as plain text.
        parts: HTML of its parts, from top to bottom.
    """
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>"
        f"<style>{STYLE}</style></head><body><main>\n"
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


def render_figure(figure: Figure | None) -> str:
    """Return the HTML of a figure with its caption; empty for None."""
    if figure is None:
        return ""
    caption = escape(figure.caption)
    return (
        f'<figure role="img" aria-label="{caption}">{figure.svg}'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def render_section(title: str, body: str) -> str:
    """Return the HTML of a section.

    Args:
        title: Its heading, as plain text.
        body: Its HTML.
    """
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def render_table(names: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """Return the HTML of a table whose cells are plain text."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def escape(value: str) -> str:
    """Return plain text as HTML, also for values of attributes."""
    return html.escape(value, quote=True)
