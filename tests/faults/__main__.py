"""Plants faults in a copy of the code, one at a time, and runs the tests that should notice.

python -m tests.faults [WORD ...]     all faults, or those whose description has one of the words

Prints one line per fault: found, or SURVIVED, and the seconds. Takes some twenty minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.faults import FAULTS, Fault

ROOT = Path(__file__).parents[2]
COPIED = ("attn_inject", "tests", "docs", "pyproject.toml", "README.md")
SLOWEST = 600  # seconds


def main() -> int:
    """Run the faults; the exit code is the number of survivors."""
    words = sys.argv[1:]
    chosen = [fault for fault in FAULTS if not words or any(word in fault.what for word in words)]
    survivors = 0
    with copied() as copy:
        for fault in chosen:
            began = time.perf_counter()
            found = is_found(fault, copy)
            survivors += not found
            seconds = time.perf_counter() - began
            print(f"{'found   ' if found else 'SURVIVED'} {seconds:5.0f} s  {fault.what}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} found")
    return survivors


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the code and its tests, which may be spoiled."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        copy.mkdir()
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
        yield copy


def is_found(fault: Fault, copy: Path) -> bool:
    """Whether the tests of a fault fail with it.

    Raises:
        ValueError: The code that it changes is not there, or is there twice.
    """
    file = copy / "attn_inject" / fault.file
    text = file.read_text()
    if text.count(fault.before) != 1:
        raise ValueError(f"{fault.file} has {text.count(fault.before)} times: {fault.before}")
    return fails_with(text.replace(fault.before, fault.after), file, fault.tests, copy)


def fails_with(text: str, file: Path, tests: str, copy: Path) -> bool:
    """Whether some tests fail while a file of the copy has another text."""
    own = file.read_text()
    file.write_text(text)
    try:
        return tests_fail(tests, copy)
    finally:
        file.write_text(own)


def tests_fail(tests: str, copy: Path) -> bool:
    """Whether a run of some tests in the copy ends with failures.

    Raises:
        ValueError: No test was run.
    """
    command = [sys.executable, "-m", "pytest", "-x", "-n0", "-p", "no:cacheprovider", *tests.split()]
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    try:
        code = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, timeout=SLOWEST
        ).returncode
    except subprocess.TimeoutExpired:
        return True
    if code not in (0, 1, 2):
        raise ValueError(f"pytest ended with {code}: {tests}")
    return code != 0


if __name__ == "__main__":
    sys.exit(main())
