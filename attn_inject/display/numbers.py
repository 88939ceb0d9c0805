"""Numbers for people: a few digits, a prefix, a sign, a percentage."""

from __future__ import annotations

_PREFIXES = ("", "k", "M", "G", "T", "P")


def scaled(count: int) -> str:
    """Four digits and a decimal prefix: 25557032 is `25.56M`; numbers below 1000 stay whole."""
    return "".join(_digits_and_prefix(count))


def _digits_and_prefix(count: int) -> tuple[str, str]:
    if abs(count) < 1000:
        return str(count), ""
    value, steps = _four_digits(count), 0
    while abs(value) >= 1000 and steps < len(_PREFIXES) - 1:
        value, steps = _four_digits(value / 1000), steps + 1
    decimals = max(0, 4 - len(str(int(abs(value)))))
    return f"{value:.{decimals}f}", _PREFIXES[steps]


def _four_digits(value: float) -> float:
    return float(f"{value:.4g}")


def change(delta: int) -> str:
    """A difference with its sign: `+876.0k`, `-48`, `0`."""
    return f"+{scaled(delta)}" if delta > 0 else scaled(delta)


def share(delta: int, base: int) -> str:
    """A difference as a share of `base`: `+3.43%`; `-` where there is no base."""
    if base == 0:
        return "-"
    percent = 100 * delta / base
    if percent == 0:
        return "0%"
    if abs(percent) < 0.0001:
        return f"{'+' if percent > 0 else '-'}<0.0001%"
    return f"{percent:+.2f}%" if abs(percent) >= 0.01 else f"{percent:+.4f}%"


def storage(size: int) -> str:
    """Bytes with a decimal prefix: `102.5 MB`."""
    digits, prefix = _digits_and_prefix(size)
    return f"{digits} {prefix}B"


def duration(seconds: float) -> str:
    """`12.34 ms`, `1.234 s`, `123.4 us`."""
    for factor, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= factor:
            return f"{seconds / factor:.4g} {unit}"
    return f"{seconds / 1e-6:.4g} us"


def plural(count: int, noun: str) -> str:
    """`1 site`, `16 sites`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
