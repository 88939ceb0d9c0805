"""Find sites in models of other libraries, and compare with the blocks that the models state themselves.

pip install -r tests/corpus/requirements.txt     the libraries, in an environment of their own
python -m tests.corpus                           every model of every installed library
python -m tests.corpus --library smp --only 'Unet*'
python -m tests.corpus --resume                  only what the rows do not hold yet
python -m tests.corpus --table PATH              write the page too, from all rows

It exits with 1 if a model is wrong, crashed or did not run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.corpus import rows
from tests.corpus.libraries import LIBRARIES, Library
from tests.corpus.page import page, summary
from tests.corpus.process import Limits, examine_library
from tests.corpus.verdict import judge, stated_count


def main(argv: Sequence[str] | None = None, libraries: dict[str, Library] | None = None) -> int:
    """Examine, print a line a model and the summary, and return the exit code."""
    libraries = LIBRARIES if libraries is None else libraries
    arguments = _parser(libraries).parse_args(argv)
    limits = Limits(arguments.seconds, arguments.megabytes)
    if not arguments.resume and not arguments.library and arguments.only == "*":
        arguments.json.unlink(missing_ok=True)
    done = rows.read(arguments.json) if arguments.resume else {}
    asked: list[tuple[str, str]] = []
    for key in arguments.library or list(libraries):
        library = libraries[key]
        if not library.version:
            print(f"{key}: {library.distribution} is not installed", file=sys.stderr)
            continue
        known = {name for owner, name in done if owner == key}
        for name, facts in examine_library(library, arguments.only, known, limits):
            asked.append((key, name))
            if facts is not None:
                row = {"library": key, "version": library.version, "name": name, **facts}
                rows.append(arguments.json, row)
                print(line(row), flush=True)
    every = rows.read(arguments.json)
    mine = [every[key] for key in asked]
    print(f"{len(mine)} models: {summary(mine)}")
    if arguments.table:
        arguments.table.write_text(page([row for row in every.values() if row["library"] in libraries]))
    return int(any(judge(row)[0] not in ("exact", "explained") for row in mine))


def line(row: dict[str, Any]) -> str:
    """One row for a terminal."""
    verdict, reasons = judge(row)
    count = stated_count(row)
    numbers = f"{row.get('sites', '-')} of {'?' if count is None else count}"
    text = f"{verdict:9} {row['library']}/{row['name']}: {numbers}, {row['seconds']} s"
    return f"{text}: {'; '.join(reasons)}" if reasons else text


def _parser(libraries: dict[str, Library]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.corpus", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--library", action="append", choices=list(libraries))
    parser.add_argument("--only", default="*", metavar="GLOB", help="names of models")
    parser.add_argument("--json", type=Path, default=Path("build/corpus.jsonl"), metavar="FILE")
    parser.add_argument("--table", type=Path, metavar="PATH")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--seconds", type=float, default=Limits.seconds, help="for each model")
    parser.add_argument("--megabytes", type=int, default=Limits.megabytes, help="for each model")
    return parser


if __name__ == "__main__":
    sys.exit(main())
