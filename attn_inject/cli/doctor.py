"""`attn-inject doctor`: versions, extras, plug-ins, and what is wrong with them."""

from __future__ import annotations

import sys

import typer

from attn_inject.cli import options
from attn_inject.cli.diagnosis import Diagnosis, diagnose
from attn_inject.cli.working import working
from attn_inject.display.documents import json_text
from attn_inject.display.grid import Table
from attn_inject.display.page import Part, write_page
from attn_inject.errors import MissingExtraError

EPILOG = options.examples("attn-inject doctor", "attn-inject doctor --json")


def doctor(as_json: options.Json = False) -> None:
    """Show which versions are installed and what is wrong with them; exit code 4 if a library is broken."""
    with working("importing every library once"):
        diagnosis = diagnose()
    if as_json:
        sys.stdout.write(json_text(diagnosis.to_json()))
    else:
        write_page(doctor_page(diagnosis), sys.stdout)
    if not diagnosis.is_healthy:
        raise typer.Exit(MissingExtraError.exit_code)


def doctor_page(diagnosis: Diagnosis) -> list[Part]:
    """The page that `doctor` prints."""
    page: list[Part] = [f"attn-inject {diagnosis.version}, Python {diagnosis.python}"]
    page.append(
        Table.of(
            "library|version|needs|state",
            [
                (item.name, item.version or "-", item.oldest and f">={item.oldest}", item.problem or "ok")
                for item in diagnosis.libraries
            ],
        ).without_empty_columns()
    )
    if diagnosis.extras:
        rows = [
            (extra.name, ", ".join(extra.missing) or "-", _install(extra.missing, extra.name))
            for extra in diagnosis.extras
        ]
        page.append(Table.of("extra|missing|to install it", rows).without_empty_columns())
    if diagnosis.plugins:
        page.append(Table.of("plug-in|of", [(entry.name, entry.owner) for entry in diagnosis.plugins]))
    if diagnosis.plugin_problems:
        rows = [(item.name, item.owner, item.reason) for item in diagnosis.plugin_problems]
        page.append(Table.of("plug-in that cannot be used|of|because", rows))
    return [*page, _verdict(diagnosis)]


def _install(missing: tuple[str, ...], extra: str) -> str:
    return f"pip install 'attn-inject[{extra}]'" if missing else ""


def _verdict(diagnosis: Diagnosis) -> str:
    remedies = dict.fromkeys(library.remedy for library in diagnosis.libraries if library.remedy)
    if remedies:
        return "To repair it:\n" + "\n".join(f"  {remedy}" for remedy in remedies)
    return "Every library can be imported."
