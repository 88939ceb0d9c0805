"""`python -m attn_inject.timm SCRIPT.py ARGS` runs a script in which the modified names are known.

timm's own train.py, validate.py and inference.py import only timm; this registers the names first and then
runs them as `python SCRIPT.py ARGS` does. `torchrun ... -m attn_inject.timm SCRIPT.py ARGS` works, too.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from attn_inject.errors import AttnInjectError, FileError, UsageError

USAGE = "Write python -m attn_inject.timm SCRIPT.py ARGS, for example with timm's train.py."


def main(arguments: Sequence[str]) -> int:
    """Run the script that `arguments` begins with; its own exceptions are not caught."""
    try:
        _run(arguments)
    except AttnInjectError as error:
        told = f"error: {error.message}" + (f"\nhint: {error.hint}" if error.hint else "")
        print(told, file=sys.stderr)
        return error.exit_code
    return 0


def _run(arguments: Sequence[str]) -> None:
    if not arguments or arguments[0].startswith("-"):
        raise UsageError("No script is named.", hint=USAGE)
    script = Path(arguments[0])
    if not script.is_file():
        raise FileError(f"There is no script {str(script)!r}.", hint=USAGE)
    sys.argv = list(arguments)
    sys.path[0] = str(script.resolve().parent)  # as with `python SCRIPT.py`
    runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
