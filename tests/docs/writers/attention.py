"""The attention modules, from the catalogue and from the docstrings of their files and classes."""

from __future__ import annotations

import importlib
import inspect
import re
from itertools import groupby

from attn_inject import registry
from attn_inject.attention.catalog import ROWS
from attn_inject.registry import Entry
from attn_inject.report.listing import option_text
from tests.docs.writers.markdown import code, sections, table


def overview() -> str:
    """One row a name."""
    return table(
        "name|what it does|paper",
        [(code(row.name), row.summary, _paper(row)) for row in ROWS],
    )


def modules() -> str:
    """One section a file, which is one paper."""
    by_file = groupby(ROWS, key=lambda row: row.target.partition(":")[0])
    return "\n\n".join(_section(file, list(rows)) for file, rows in by_file)


def _section(file: str, rows: list[Entry]) -> str:
    first = rows[0]
    names = ", ".join(f"`{row.name}`" for row in rows)
    return "\n\n".join(
        [
            f"## {names}",
            f"{first.title}. {_paper(first)}. The authors place it `{first.placement}`.",
            table("name|what it does|acts on|options|parameters|other names", map(_row, rows)),
            *_options(rows),
            _formulas(file),
        ]
    )


def _paper(row: Entry) -> str:
    return f"[{row.authors} {row.year}, arXiv:{row.arxiv}](https://arxiv.org/abs/{row.arxiv})"


def _row(row: Entry) -> tuple[str, ...]:
    aliases = ", ".join(map(code, row.aliases))
    return (
        code(row.name),
        row.summary,
        row.acts_on,
        code(option_text(row.options)),
        code(row.parameters),
        aliases,
    )


def _options(rows: list[Entry]) -> list[str]:
    """What each option means, once for all names of the file."""
    meanings: dict[str, str] = {}
    for row in rows:
        arguments = sections(registry.load(row)).get("Args", {})
        meanings |= {name: arguments[name] for name in row.options}
    return ["\n".join(f"- `{name}`: {meaning}" for name, meaning in meanings.items())] if meanings else []


def _formulas(file: str) -> str:
    """The docstring of the file after its title; what is indented there is a block of formulas."""
    _, _, body = (inspect.getdoc(importlib.import_module(file)) or "").partition("\n\n")
    return re.sub(r"^((?:    .*\n|\n(?=    ))+)", _fenced, f"{body}\n", flags=re.MULTILINE).strip()


def _fenced(found: re.Match[str]) -> str:
    return f"```text\n{inspect.cleandoc(found[1])}\n```\n"
