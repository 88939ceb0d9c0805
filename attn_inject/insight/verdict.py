"""What the figures of a look say, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attn_inject.insight.seen import SiteSeen

IDLE = 1e-4  # nats; a bypassed site that changes less does nothing that one could see in the output
SATURATED = 0.9  # share of a gate's values that are near 0 or near 1
CONSTANT = 0.9  # share of a gate's values that are the same for all images
_NAMED = 3


def verdict(sites: Sequence[SiteSeen], images: int, agreement: float | None, base: str) -> tuple[str, ...]:
    """The sentences: the whole, what does nothing, what saturates, what matters most, what the classes show.

    Args:
        sites: What was seen.
        images: How many images that was.
        agreement: With the base, a share of the images; None without a base.
        base: What the base is.
    """
    found = [*_whole(images, agreement, base), *_idle(sites), *_saturated(sites), *_constant(sites)]
    return (*found, *_important(sites, images), *_classes(sites))


def is_idle(site: SiteSeen) -> bool:
    """Whether bypassing a site changed no class and hardly any probability."""
    return site.divergence is not None and site.divergence < IDLE and site.agreement == 1


def _whole(images: int, agreement: float | None, base: str) -> Iterator[str]:
    if agreement is not None:
        yield f"The most likely class is that of {base} on {round(agreement * images)} of {images} images."


def _idle(sites: Sequence[SiteSeen]) -> Iterator[str]:
    tried = [site for site in sites if site.divergence is not None]
    idle = [site for site in tried if is_idle(site)]
    if idle:
        largest = max(site.divergence or 0.0 for site in idle)
        moved = f"moves the probabilities by at most {largest:.2g} nats" if largest else "every probability"
        yield (
            f"{len(idle)} of {len(tried)} sites do nothing here ({_names(idle)}): bypassed one by one, each "
            f"keeps every class and {moved}."
        )
    elif tried:
        yield f"Each of the {len(tried)} sites changes the output by more than {IDLE:g} nats or a class."


def _saturated(sites: Sequence[SiteSeen]) -> Iterator[str]:
    for side, where in (("near_0", "near 0"), ("near_1", "near 1")):
        found = [s for s in sites if any(getattr(gate, side) >= SATURATED for gate in s.gates)]
        if found:
            yield f"Gates {where} for {SATURATED:.0%} of their values or more: {_names(found)}."


def _constant(sites: Sequence[SiteSeen]) -> Iterator[str]:
    found = [s for s in sites if s.gates and all((gate.constant or 0) >= CONSTANT for gate in s.gates)]
    if found:
        yield f"Gates that are the same for all images, {CONSTANT:.0%} of them or more: {_names(found)}."


def _important(sites: Sequence[SiteSeen], images: int) -> Iterator[str]:
    tried = [s for s in sites if s.divergence is not None and not is_idle(s)]
    for site in sorted(tried, key=lambda s: -(s.divergence or 0.0))[:_NAMED]:
        lost = images - round((site.agreement or 0.0) * images)
        figures = f"{lost} of {images} classes change, by {site.divergence:.3g} nats"
        yield f"{site.site} matters: without it {figures}."


def _classes(sites: Sequence[SiteSeen]) -> Iterator[str]:
    spreads = [
        (s.site, max(gate.class_spread for gate in s.gates if gate.class_spread is not None))
        for s in sites
        if any(gate.class_spread is not None for gate in s.gates)
    ]
    if len(spreads) > 1:
        (first, low), (last, high) = spreads[0], spreads[-1]
        yield f"Between classes the gates differ by {low:.2g} at {first} and by {high:.2g} at {last}."


def _names(sites: Sequence[SiteSeen]) -> str:
    named = [site.site for site in sites[:_NAMED]]
    more = len(sites) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")
