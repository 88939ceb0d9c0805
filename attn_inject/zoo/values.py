"""Kinds of option values in TOML, Python and the command line; each raises ValueError."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from attn_inject.request import parse_value

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12} | {
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_TIMES = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}
LARGEST = 2**63
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z%]*)")


def text(value: Any) -> str:
    """A text, or a path."""
    if not isinstance(value, str | PurePath):
        raise ValueError(f"is a text, not {_shown(value)}")
    return str(value)


def texts(value: Any) -> tuple[str, ...]:
    """A text or a list of texts."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError(f"is a text or a list of texts, not {_shown(value)}")
    return tuple(items)


def truth(value: Any) -> bool:
    """`true` or `false`."""
    if not isinstance(value, bool):
        raise ValueError(f"is true or false, not {_shown(value)}")
    return value


def whole(value: Any) -> int:
    """A whole number, 0 or more."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < LARGEST:
        raise ValueError(f"is a whole number of 0 or more, not {_shown(value)}")
    return value


def wholes(value: Any) -> tuple[int, ...]:
    """A whole number or a list of them."""
    items = value if isinstance(value, list | tuple) else [value]
    try:
        return tuple(whole(item) for item in items)
    except ValueError:
        raise ValueError(f"is a list of whole numbers, not {_shown(value)}") from None


def size(value: Any) -> tuple[int, ...]:
    """(C, H, W) in pixels from one number, two or three; a video's four are (C, T, H, W)."""
    numbers = wholes(value)
    if len(numbers) not in (1, 2, 3, 4) or 0 in numbers:
        raise ValueError(f"is [channels, height, width] in pixels, not {_shown(value)}")
    height_and_width = numbers * 2 if len(numbers) == 1 else numbers
    return height_and_width if len(height_and_width) > 2 else (3, *height_and_width)


def arguments(value: Any) -> dict[str, Any]:
    """Arguments of an architecture: a table, or texts `key=value`."""
    if isinstance(value, Mapping):
        return {str(key).replace("-", "_"): item for key, item in value.items()}
    found: dict[str, Any] = {}
    for item in texts(value):
        key, equals, given = item.partition("=")
        if not (key and equals):
            raise ValueError(f"is KEY=VALUE, not {_shown(item)}")
        found[key.strip().replace("-", "_")] = parse_value(given)
    return found


def seconds(value: Any) -> float:
    """A time above 0: seconds, or `90s`, `10m`, `2h`."""
    amount, unit = _amount(value, "is a time such as 90, 10m or 2h")
    if unit not in _TIMES or not 0 < amount < LARGEST:
        raise ValueError(f"is a time such as 90, 10m or 2h, not {_shown(value)}")
    return amount * _TIMES[unit]


def memory(value: Any) -> int | float:
    """Bytes as a whole number, `8GB`, `8GiB`; or a share of what is free, `50%`, as a fraction."""
    wanted = "is an amount of memory such as 8GiB or 50%"
    amount, unit = _amount(value, wanted)
    if unit == "%" and 0 < amount <= 100:
        return amount / 100
    if unit not in _UNITS or not 1 <= amount * _UNITS[unit] < LARGEST:
        raise ValueError(f"{wanted}, not {_shown(value)}")
    return int(amount * _UNITS[unit])


def _amount(value: Any, wanted: str) -> tuple[float, str]:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{wanted}, not {_shown(value)}")
    match = _AMOUNT.fullmatch(str(value).strip())
    if match is None:
        raise ValueError(f"{wanted}, not {_shown(value)}")
    return float(match[1]), match[2].lower()


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value!r:.80}"
