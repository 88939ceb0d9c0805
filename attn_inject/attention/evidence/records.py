"""What an evidence record says: where a fact about a module is from, and what others have counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

KINDS = {"code": "read in code", "paper": "read in the paper", "assumed": "assumed"}


@dataclass(frozen=True)
class Claim:
    """Where a fact is from.

    Attributes:
        kind: A key of `KINDS`.
        where: The repository with its commit, the table or section, or why it is assumed.
    """

    kind: str
    where: str

    def __str__(self) -> str:
        return f"{KINDS[self.kind]}: {self.where}"


@dataclass(frozen=True, kw_only=True)
class Count:
    """A count that somebody published, of a network with the module in stated places.

    Attributes:
        spec: What is counted, `se:bias=false`.
        where: The network and the places.
        unit: `M parameters`, `G (K3)` and the like; K1 to K4 are the papers' conventions of FLOPs.
        printed: The figure as it is printed.
        claim: Who prints it.
        ours: Our figure where it is another one, or "".
        reason: Why it is another one, as far as is known.
    """

    spec: str
    where: str
    unit: str
    printed: str
    claim: Claim
    ours: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Difference:
    """A comparison with the authors' released code, run on random weights and maps in double precision.

    Attributes:
        code: The repository with its commit.
        seeds: How many seeds were compared.
        largest: The largest difference of any output.
        note: What the comparison leaves out, or why the difference is not rounding.
    """

    code: str
    seeds: int
    largest: float
    note: str = ""

    def __str__(self) -> str:
        text = f"largest difference {self.largest:.1e} over {self.seeds} seeds from {self.code}"
        return f"{text}; {self.note}" if self.note else text


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that is known of where a module is from.

    Attributes:
        formula: Of the module's formula.
        options: Of each option's default, by name.
        start: Of the paper start.
        placement: Of the paper placement.
        counts: What was published.
        difference: From the authors' code, or None where no comparison was run.
    """

    formula: Claim
    options: Mapping[str, Claim] = field(default_factory=dict)
    start: Claim
    placement: Claim
    counts: tuple[Count, ...] = ()
    difference: Difference | None = None

    def claims(self) -> Iterator[tuple[str, Claim]]:
        """Each fact with its source, in the order in which a page shows them."""
        yield "formula", self.formula
        for name, claim in self.options.items():
            yield f"default of {name}", claim
        yield "start", self.start
        yield "placement", self.placement


def code(where: str) -> Claim:
    """A fact that was read in code, `owner/repository@commit path`."""
    return Claim("code", where)


def paper(where: str) -> Claim:
    """A fact that was read in the paper, or in the table of another one that is named."""
    return Claim("paper", where)


def assumed(why: str) -> Claim:
    """A fact without a source, and why it is as it is."""
    return Claim("assumed", why)


def counts(
    spec: str, where: str, claim: Claim, *figures: tuple[str, str] | tuple[str, str, str, str]
) -> tuple[Count, ...]:
    """Several figures of one network: (unit, printed), or (unit, printed, ours, reason)."""
    return tuple(Count(spec=spec, where=where, claim=claim, **_named(figure)) for figure in figures)


def _named(figure: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(("unit", "printed", "ours", "reason"), figure, strict=False))
