"""Documents for programs."""

from __future__ import annotations

import json
from typing import Any


def json_text(document: Any) -> str:
    """One JSON document, indented, in ASCII, ended by a newline."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def error_document(code: str, message: str, hint: str) -> dict[str, Any]:
    """What a failed command prints under `--json`."""
    return {"error": {"code": code, "message": message, "hint": hint}}
