"""The attention modules, from the catalogue and from the docstrings of their files and classes."""

from __future__ import annotations

import importlib
import inspect
import re
from itertools import groupby

from attn_inject.attention import registry
from attn_inject.attention.catalog import ROWS
from attn_inject.attention.evidence import EVIDENCE
from attn_inject.attention.evidence.records import KINDS
from attn_inject.attention.registry import Entry
from attn_inject.display.listing import option_text
from tests.docs.writers.markdown import code, sections, table
from tests.papers.published import figure, on_resnet50


def overview() -> str:
    """One row per name."""
    return table(
        "name|what it does|paper",
        [(code(row.name), row.summary, _paper(row)) for row in ROWS],
    )


def modules() -> str:
    """One row per file, which is one paper and has one page."""
    rows = [
        (
            f"[{', '.join(map(code, names(file)))}](attention/{file}.md)",
            first(file).title,
            _paper(first(file)),
        )
        for file in FILES
    ]
    return table("name|title|paper", rows)


def page(file: str) -> str:
    """The page of one paper: its figure, names, options, formulas, and published rows beside ours."""
    rows = FILES[file]
    return "\n\n".join(
        [
            f"{first(file).title}. {_paper(first(file))}. {_place(first(file))}",
            f"![Data flow of {', '.join(names(file))}](figures/{file}.svg)",
            table("name|what it does|acts on|options|parameters|other names", map(_row, rows)),
            *_options(rows),
            "## Formulas",
            _formulas(rows[0].target.partition(":")[0]),
            "## Evidence",
            _evidence(file),
            "## Beside the paper",
            _beside_the_paper(file),
        ]
    )


def names(file: str) -> list[str]:
    return [row.name for row in FILES[file]]


def first(file: str) -> Entry:
    return FILES[file][0]


def _by_file() -> dict[str, list[Entry]]:
    by_file = groupby(ROWS, key=lambda row: row.target.partition(":")[0].rpartition(".")[2])
    return {file: list(rows) for file, rows in by_file}


FILES = _by_file()


def _place(row: Entry) -> str:
    """`The authors place it ...`, in a sentence."""
    which = {"all": "every block", "last": "the last block", "second": "every second block"}[row.blocks]
    where = f" of stages {', '.join(map(str, row.stages))}" if row.stages else ""
    where += f", and every block of stage {', '.join(map(str, row.whole))}" if row.whole else ""
    inverted = f" (`{row.inverted}` in inverted residual blocks)" if row.inverted else ""
    return f"The authors place it `{row.placement}`, in {which}{where}{inverted}."


def _beside_the_paper(file: str) -> str:
    rows = EVIDENCE[file].counts
    told = [
        (
            code(r.spec),
            r.where,
            r.unit,
            r.printed,
            figure(r) + (f" ({r.reason})" if r.reason else ""),
            str(r.claim),
        )
        for r in rows
    ]
    text = table("module|network|unit|printed|ours|source", told)
    if not rows:
        text = "We know of no published figure to hold these modules against."
    added = [(code(row.name), f"{on_resnet50(row.name):,}") for row in FILES[file]]
    counted = table("module|parameters of ResNet-50 with one in each of its 16 blocks", added)
    return f"{text}\n\n{counted}"


def _evidence(file: str) -> str:
    record = EVIDENCE[file]
    facts = [(what, KINDS[claim.kind], claim.where) for what, claim in record.claims()]
    text = f"Compared with the authors' code: {record.difference}."
    return table("fact|known by|where", facts) + (f"\n\n{text}" if record.difference else "")


def _paper(row: Entry) -> str:
    return f"[{row.authors} {row.year}, {row.source}]({row.paper_url})"


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
