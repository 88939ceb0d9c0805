"""Sweep all architectures, or those that match globs; one JSON line each, resumable.

python -m tests.sweeps                         every architecture, without weights
python -m tests.sweeps 'timm/resnet*' --compare  the time of merely building each on meta beside it
python -m tests.sweeps --full                  real weights, identity start, all checks, reopened file:
                                            the smallest of each timm module, torchvision, 60 more
python -m tests.sweeps --table                 write docs/reference/models.md from the sweep's lines
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import multiprocessing
from collections import Counter
from pathlib import Path
from typing import Any

from tests.sweeps.selection import for_proof
from tests.sweeps.survey import every_architecture, prove, surveyed, with_comparison
from tests.sweeps.table import write_table

LINES = Path("build/zoo.jsonl")


def main() -> None:
    """Run the sweep and print its summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("globs", nargs="*", default=["*"])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    out = arguments.out or (LINES.with_name("zoo_full.jsonl") if arguments.full else LINES)
    out.parent.mkdir(parents=True, exist_ok=True)
    done = read(out)
    names = [n for n in every_architecture() if any(fnmatch.fnmatchcase(n, g) for g in arguments.globs)]
    if arguments.full:
        names = for_proof(names, read(LINES))
    work = prove if arguments.full else (with_comparison if arguments.compare else surveyed)
    todo = [name for name in names if name not in done]
    context = multiprocessing.get_context("spawn")
    with out.open("a") as file, context.Pool(arguments.jobs, maxtasksperchild=40) as pool:
        for count, line in enumerate(pool.imap_unordered(work, todo), 1):
            file.write(json.dumps(line) + "\n")
            file.flush()
            if count % 50 == 0:
                print(f"{count} of {len(todo)}", flush=True)
    lines = read(out)
    summarise([lines[name] for name in names])
    if arguments.table:
        write_table(lines)


def read(path: Path) -> dict[str, dict[str, Any]]:
    """The lines of an earlier run by name; a half-written last line is left out."""
    lines: dict[str, dict[str, Any]] = {}
    if path.exists():
        for text in path.read_text().splitlines():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                continue
            lines[line["name"]] = line
    return lines


def summarise(lines: list[dict[str, Any]]) -> None:
    """Print how many were handled, and every one that was not."""
    crashed = [line for line in lines if "crashed" in line]
    failed = [line for line in lines if "failed" in line]
    proven = [line for line in lines if "checks" in line]
    print(f"{len(lines)} architectures: {len(crashed)} crashes, {len(failed)} failures")
    if proven:
        print(f"{len(proven)} proven: {dict(Counter(name for line in proven for name in line['checks']))}")
    if any("sites" in line for line in lines):
        with_sites = [line for line in lines if line.get("sites")]
        without = [line for line in lines if line.get("sites") == 0]
        print(f"{len(with_sites)} with residual blocks, {len(without)} without:")
        print(f"  {dict(Counter(line['reason'] for line in without))}")
        print(f"largest process: {max(line.get('peak_mb', 0) for line in lines)} MB")
    timed = [line for line in lines if line.get("merely_build", float("nan")) == line.get("merely_build")]
    timed = [line for line in timed if "merely_build" in line and "find" in line]
    if timed:
        ours = sum(line["build"] + line["find"] for line in timed)
        theirs = sum(line["merely_build"] for line in timed)
        print(f"build + find {ours:.0f} s, merely building on meta {theirs:.0f} s: {ours / theirs:.2f} x")
    for line in crashed + failed:
        print(f"  {line['name']}: {line.get('crashed') or line.get('failed')}")


if __name__ == "__main__":
    main()
