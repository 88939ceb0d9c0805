"""Full checks with the defaults of the command line: what is refused, and why.

python -m tests.checks.sweep [GLOB ...]     the smallest of each timm module and torchvision family, ten
                                         modules, two placements, three seeds; one JSON line each
python -m tests.checks.sweep --seeds 1      with one seed

Resumable. A refusal by a check is false unless the model itself is at fault; the summary names each. What
cannot be inserted at all (no site, no fit) is counted by its reason.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import multiprocessing
import random
import re
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import attn_inject
from attn_inject.errors import AttnInjectError, CheckFailedError
from tests.sweeps.selection import smallest
from tests.sweeps.survey import every_architecture

ATTENTION = ("se", "ela-l", "sa", "cbam", "bam", "scse", "sge", "gam", "nl", "gc")
PLACEMENTS = ("after", "before-add")
LARGEST = 40_000_000  # parameters
OUT = Path("build/checks.jsonl")

Case = tuple[str, str, str, int]


def main() -> None:
    """Run what has not run yet, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("globs", nargs="*", default=["*"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--params", type=Path, default=Path("build/zoo.jsonl"), help="lines of tests.sweeps")
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    done = {_case(line): line for line in _lines(arguments.out)}
    known = {line["name"]: line["params"] for line in _lines(arguments.params) if "params" in line}
    names = [name for name in every_architecture() if known.get(name, LARGEST) < LARGEST]
    chosen = [n for n in smallest(names, known) if any(fnmatch.fnmatchcase(n, g) for g in arguments.globs)]
    cases = [
        (name, attention, placement, seed)
        for seed in range(arguments.seeds)
        for name in chosen
        for attention in ATTENTION
        for placement in PLACEMENTS
    ]
    todo = [case for case in cases if case not in done]
    random.Random(0).shuffle(todo)  # whatever has run when it is stopped is a fair sample
    context = multiprocessing.get_context("spawn")
    with arguments.out.open("a") as file, context.Pool(arguments.jobs, maxtasksperchild=60) as pool:
        for line in pool.imap_unordered(tried, todo):
            file.write(json.dumps(line) + "\n")
            file.flush()
    summarise([line for line in _lines(arguments.out) if _case(line) in set(cases)])


def tried(case: Case) -> dict[str, Any]:
    """One model with one module, fully checked; the line says what happened."""
    warnings.simplefilter("ignore")
    name, attention, placement, seed = case
    line: dict[str, Any] = {"name": name, "attention": attention, "placement": placement, "seed": seed}
    began = time.perf_counter()
    try:
        result = attn_inject.inject(name, attention, placement=placement, seed=seed, check="full")
        line["inserted"] = len(result.sites)
        line["notes"] = [check.detail for check in result.report.checks if ";" in check.detail]
    except CheckFailedError as error:
        line["failed"] = error.message
    except AttnInjectError as error:
        line["refused"] = error.message
    except Exception as error:
        line["crashed"] = f"{type(error).__name__}: {error}"
    line["seconds"] = round(time.perf_counter() - began, 2)
    return line


def summarise(lines: list[dict[str, Any]]) -> None:
    """Print how many passed, every failure, and the refusals by reason."""
    passed = sum("inserted" in line for line in lines)
    print(f"{len(lines)} runs of {len({line['name'] for line in lines})} models: {passed} passed all checks")
    for kind in ("failed", "crashed"):
        wrong = [line for line in lines if kind in line]
        print(f"{len(wrong)} {kind}")
        for line in wrong:
            print(f"  {line['name']} {line['attention']} {line['placement']} {line['seed']}: {line[kind]}")
    saturated = sum(any("all are 0" in note for note in line.get("notes", ())) for line in lines)
    print(f"{saturated} passed with saturated modules")
    reasons = Counter(_reason(line["refused"]) for line in lines if "refused" in line)
    print(f"{sum(reasons.values())} refused:")
    for reason, count in reasons.most_common():
        print(f"  {count:5} {reason}")


def _reason(message: str) -> str:
    """A message without the names of models and modules in it."""
    return re.sub(r"[\w/.]*\d[\w/.]*", "N", message.partition("for one: ")[2] or message)[:150]


def _case(line: dict[str, Any]) -> Case:
    return line["name"], line["attention"], line["placement"], line["seed"]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []


if __name__ == "__main__":
    main()
