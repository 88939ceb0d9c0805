"""A tensor that a module can act on, and how an edit reaches it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attn_inject.sites.site import Site


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a module acts on.

    Attributes:
        site: The module to edit, with layout and size of the tensor.
        shape: Of the tensor in the recorded run.
        tap: The tapped fx node of the site's traced body, or None if the body is not rewritten.
        users: The nodes whose use of it is replaced.
        specialized: Arguments that the trace is specialized to.
        stride: Of the average pool that follows; a replaced convolution's.
        note: What the attention does not reproduce, or "".
    """

    site: Site
    shape: tuple[int, ...]
    tap: str | None = None
    users: tuple[str, ...] = ()
    specialized: Mapping[str, Any] = field(default_factory=dict)
    stride: int = 1
    note: str = ""
