"""`python -m attn_inject.cli.attempt NAME ...` imports libraries and plug-ins for `doctor`.

In a separate process, since a library that does not match another may end the process that imports it.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from typing import Any

from attn_inject.attention import registry

MARK = "attn-inject-doctor "
PLUGINS = "--plugins"


def main(names: list[str]) -> None:
    """Import each name in turn; a line before each says which one ended the process, if it ends."""
    warnings.simplefilter("ignore")
    for name in names:
        _tell(name, "importing it ended the process, or did not end")
        if name == PLUGINS:
            _tell(name, [[problem.name, problem.owner, problem.reason] for problem in registry.problems()])
        else:
            _tell(name, _why_not(name))


def _why_not(name: str) -> str:
    try:
        importlib.import_module(name)
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _tell(name: str, finding: Any) -> None:
    print(f"\n{MARK}{json.dumps([name, finding])}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
