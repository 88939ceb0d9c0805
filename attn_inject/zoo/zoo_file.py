"""`zoo.toml`: the long flags as keys, `[[entry]]` for what differs; every error names its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attn_inject.errors import UsageError
from attn_inject.files.toml_file import read_toml_file
from attn_inject.zoo.manifest import Options

_LONGEST_KEY = 200  # characters; matching would take for ever on very long lines of blanks
_HEADER = re.compile(r"\s*\[\[?\s*([\w.\-\"' ]+?)\s*\]?\]")
_KEY = re.compile(r"""\s*["']?([\w-]+)["']?\s*(?:\.[^=]*)?=""")


def read_toml(path: str | Path) -> tuple[Options, list[Options]]:
    """The options of the whole file, and those of each `[[entry]]`.

    Raises:
        FileError: The file cannot be read.
        UsageError: It is not TOML, holds what no option takes, or an entry is not a table.
    """
    document, content = read_toml_file(path)
    lines = _key_lines(content)
    entries = document.pop("entry", [])
    if not (isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)):
        raise UsageError(f"{path}: entry is a single table.", hint="Write [[entry]] on a separate line.")
    top = _options(document, str(path), lines, 0)
    return top, [_options(entry, str(path), lines, number) for number, entry in enumerate(entries, 1)]


def _options(
    table: Mapping[str, Any], path: str, lines: Mapping[tuple[int, str], int], number: int
) -> Options:
    written = {key.replace("-", "_"): key for key in table}
    given = {key.replace("-", "_"): value for key, value in table.items()}
    return Options(given, _teller(path, lines, number, written), is_typed=False)


def _teller(
    path: str, lines: Mapping[tuple[int, str], int], number: int, written: Mapping[str, str]
) -> Callable[[str], str]:
    def tell(name: str) -> str:
        key = written.get(name, name.replace("_", "-"))
        line = lines.get((number, key)) or lines.get((number, ""))
        return f"{path}, line {line}: {key}" if line else f"{path}: {key}"

    return tell


def _key_lines(content: str) -> dict[tuple[int, str], int]:
    """Lines, from 1, of every key by the number of its entry, 0 outside; "" is the entry's own line.

    tomllib does not report lines. A key inside a multi-line text may be found, too, but no real one is
    missed.
    """
    lines: dict[tuple[int, str], int] = {}
    entry = 0
    for number, whole_line in enumerate(content.splitlines(), 1):
        line = whole_line[:_LONGEST_KEY]
        header, key = _HEADER.match(line), _KEY.match(line)
        if header and "=" not in line.partition("]")[0]:
            name = header[1].strip("\"' ")
            if name == "entry":
                entry += 1
                lines[entry, ""] = number
            else:
                lines.setdefault((entry, name.removeprefix("entry.").partition(".")[0]), number)
        elif key:
            lines.setdefault((entry, key[1]), number)
    return lines
