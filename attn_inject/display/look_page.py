"""What attention does in a model on images, for people."""

from __future__ import annotations

from collections.abc import Sequence

from attn_inject.display.grid import Table
from attn_inject.display.numbers import plural
from attn_inject.display.page import Part
from attn_inject.insight.seen import GateSeen, Look, SiteSeen

TITLES = "site|>alpha|>gate|>std|>satur.|>const.|>contrib.|>same|>nats"
LEGEND = (
    "gate, std: mean and spread of the gates' values; satur.: their share near 0 or 1; const.: their share "
    "that is the same for all images; contrib.: |alpha (A(x) - x)| / |x|; same: images whose class stays "
    "without this one site; nats: how far the probabilities move then."
)


def look_page(look: Look) -> list[Part]:
    """The page that `look` prints: the sites, then the verdict."""
    return [
        headline(look),
        sites_table(look.sites),
        LEGEND,
        "\n".join(look.verdict),
        "\n".join([*look.notes, times(look)]),
    ]


def headline(look: Look) -> str:
    """What was run on how many images, and how they became inputs."""
    count = len(look.classes)
    classes = f" of {count} classes" if count > 1 else ""
    return f"{look.model} on {plural(look.images, 'image')}{classes}\n{look.preprocessing}"


def sites_table(sites: Sequence[SiteSeen]) -> Table:
    """One row per site."""
    return Table.of(TITLES, [_row(site) for site in sites]).without_empty_columns()


def _row(site: SiteSeen) -> tuple[str, ...]:
    return (
        site.site,
        "" if site.alpha is None else f"{site.alpha:.3g}",
        *_gates(site.gates),
        percent(site.contribution),
        percent(site.agreement),
        "" if site.divergence is None else f"{site.divergence:.2g}",
    )


def _gates(gates: tuple[GateSeen, ...]) -> tuple[str, ...]:
    """Means over a module's gates."""
    if not gates:
        return ("", "", "", "")
    constant = [gate.constant for gate in gates if gate.constant is not None]
    return (
        f"{_mean([gate.mean for gate in gates]):.2f}",
        f"{_mean([gate.std for gate in gates]):.2f}",
        percent(_mean([gate.near_0 + gate.near_1 for gate in gates])),
        percent(_mean(constant) if constant else None),
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def percent(share: float | None) -> str:
    """`67%`, or two digits below a tenth; nothing for None."""
    if share is None:
        return ""
    return f"{share:.0%}" if share >= 0.1 or share == 0 else f"{100 * share:.2g}%"


def times(look: Look) -> str:
    """How long it took, beside plain inference."""
    seconds = look.seconds
    plain = max(seconds["plain"], 1e-9)
    told = f"The watched run took {seconds['watched'] / plain:.1f} times plain inference ({plain:.2g} s)"
    if "bypassed" in seconds:
        told += f"; all runs without one site took {seconds['bypassed']:.2g} s"
    return f"{told}."
