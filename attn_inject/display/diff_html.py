"""What differs between two models, as HTML: one offline page, and the same as a notebook's output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources

from attn_inject.difference import Difference
from attn_inject.display.comparison_page import totals_grid
from attn_inject.display.diff_page import blocks_line, change_rows, headline, rewritten, tree_grid
from attn_inject.display.escaping import html_text
from attn_inject.display.grid import Table
from attn_inject.display.numbers import plural

_MARKS = {
    "+": ("added", "only in B"),
    "-": ("removed", "only in A"),
    "~": ("changed", "changed"),
    "": ("", ""),
}


def diff_html(difference: Difference) -> str:
    """The page that `diff --out page.html` writes."""
    a, b = difference.costs.a.model, difference.costs.b.model
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html_text(f'{a} and {b}')}</title></head>\n"
        f'<body style="margin:0">\n{diff_fragment(difference)}\n</body></html>\n'
    )


def diff_fragment(difference: Difference) -> str:
    """The same as one element with its own style."""
    parts = [f"<p>{'<br>'.join(map(html_text, headline(difference).splitlines()))}</p>"]
    if difference.blocks:
        parts += ["<h2>Blocks</h2>", table_html(tree_grid(difference))]
    if groups := rewritten(difference):
        parts.append("<h2>Forwards</h2>")
    for number, blocks in enumerate(groups, start=1):
        title, *more = blocks_line(blocks).splitlines()
        note = "".join(f"<p>{html_text(line)}</p>" for line in more)
        code = _code(change_rows(blocks[0]))
        summary = html_text(f"{number}: {title}")
        parts.append(f"<details open><summary>{summary}</summary>{note}{code}</details>")
    parts.append("<h2>Keys of the state dict</h2>")
    parts += [_keys("added", difference.added), _keys("removed", difference.removed)]
    shaped = [f"{item.key}: {list(item.a)} and {list(item.b)}" for item in difference.reshaped]
    parts += [_keys("of another shape", shaped)] if shaped else []
    parts += ["<h2>Costs</h2>", table_html(totals_grid(difference.costs))]
    style = resources.files("attn_inject.display").joinpath("diff.css").read_text(encoding="utf-8")
    body = "\n".join(parts)
    return f'<style>{style}</style>\n<div class="attn-inject-diff"><h1>What differs</h1>\n{body}\n</div>'


def table_html(table: Table) -> str:
    """A table that scrolls if it is too wide."""
    heads = [
        f'<th scope="col"{_right(column.numeric)}>{html_text(column.title)}</th>' for column in table.columns
    ]
    rows = [
        "".join(
            f"<td{_right(column.numeric)}>{_indented(cell)}</td>"
            for cell, column in zip(row, table.columns, strict=True)
        )
        for row in table.rows
    ]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="scroll" tabindex="0"><table><tr>{"".join(heads)}</tr>{body}</table></div>'


def _right(numeric: bool) -> str:
    return ' class="number"' if numeric else ""


def _indented(cell: str) -> str:
    text = cell.lstrip()
    return "&emsp;" * ((len(cell) - len(text)) // 2) + html_text(text)


def _code(rows: Sequence[tuple[str, str, str]]) -> str:
    heads = (
        '<th scope="col"><span class="said">change</span></th><th scope="col">A</th><th scope="col">B</th>'
    )
    lines = []
    for mark, left, right in rows:
        kind, said = _MARKS[mark]
        told = f'{mark}<span class="said"> {said}</span>' if mark else ""
        cells = f"<td>{told}</td><td>{html_text(left)}</td><td>{html_text(right)}</td>"
        lines.append(f'<tr class="{kind}">{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0"><table class="code"><tr>{heads}</tr>{"".join(lines)}</table></div>'
    )


def _keys(what: str, keys: Iterable[str]) -> str:
    listed = [f"<li>{html_text(key)}</li>" for key in keys]
    title = f"{plural(len(listed), 'key')} {what}"
    if not listed:
        return f"<p>{title}</p>"
    return f"<details><summary>{title}</summary><ul>{''.join(listed)}</ul></details>"
