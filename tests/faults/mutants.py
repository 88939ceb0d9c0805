"""Changes operators and constants of the code at random, and runs the tests of its room on each change.

pip install -r tests/faults/requirements.txt
python -m tests.faults.mutants [--rooms surgery checks] [--sample 60] [--seed 0]

cosmic-ray makes the changes. Prints one line per change: found, or SURVIVED with the changed lines.
"""

from __future__ import annotations

import argparse
import difflib
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

from tests.faults.__main__ import ROOT, copied, fails_with

OPERATORS = (
    "AddNot",
    "NumberReplacer",
    "ReplaceAndWithOr",
    "ReplaceBinaryOperator_Add_Sub",
    "ReplaceBinaryOperator_Mul_Div",
    "ReplaceBinaryOperator_Sub_Add",
    "ReplaceBreakWithContinue",
    "ReplaceComparisonOperator_Eq_NotEq",
    "ReplaceComparisonOperator_Gt_GtE",
    "ReplaceComparisonOperator_Is_IsNot",
    "ReplaceComparisonOperator_Lt_LtE",
    "ReplaceContinueWithBreak",
    "ReplaceFalseWithTrue",
    "ReplaceOrWithAnd",
    "ReplaceTrueWithFalse",
    "ReplaceUnaryOperator_Delete_Not",
    "ZeroIterationForLoop",
)
TESTS = {
    "surgery": "tests/surgery tests/checks",
    "sites": "tests/sites tests/surgery",
    "checks": "tests/checks",
    "files": "tests/files tests/operate/test_saving.py",
    "zoo": "tests/zoo/test_ledger.py tests/zoo/test_users_files.py tests/zoo/test_convert.py",
}


@dataclass(frozen=True)
class Mutant:
    """One change: which file, and its text before and after."""

    room: str
    file: str
    before: str
    after: str

    def lines(self) -> str:
        """The changed lines, on one line."""
        changed = difflib.unified_diff(self.before.splitlines(), self.after.splitlines(), n=0, lineterm="")
        return " -> ".join(line[1:].strip() for line in list(changed)[2:] if line[0] in "+-")


def main() -> int:
    """Run a sample; the exit code is the number of survivors, at most 100."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rooms", nargs="*", choices=list(TESTS), default=["surgery", "checks"])
    parser.add_argument("--sample", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    mutants = [mutant for room in arguments.rooms for mutant in mutants_of(room)]
    chosen = random.Random(arguments.seed).sample(mutants, min(arguments.sample, len(mutants)))
    print(f"{len(chosen)} of {len(mutants)} changes", flush=True)
    survivors = 0
    with copied() as copy:
        for mutant in chosen:
            began = time.perf_counter()
            found = fails_with(mutant.after, copy / mutant.file, TESTS[mutant.room], copy)
            survivors += not found
            seconds = time.perf_counter() - began
            word = "found   " if found else "SURVIVED"
            print(f"{word} {seconds:5.0f} s  {mutant.file}: {mutant.lines()}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} found")
    return min(survivors, 100)


def mutants_of(room: str) -> Iterator[Mutant]:
    """Every change of the files of a room."""
    for path in sorted((ROOT / "attn_inject" / room).rglob("*.py")):
        text = path.read_text()
        for name in OPERATORS:
            for after in _changes(text, name):
                yield Mutant(room, str(Path(path).relative_to(ROOT)), text, after)


def _changes(text: str, operator: str) -> Iterator[str]:
    for occurrence in range(1000):
        after = mutate_code(text, get_operator(f"core/{operator}")(), occurrence)
        if after is None:
            return
        yield after


if __name__ == "__main__":
    raise SystemExit(main())
