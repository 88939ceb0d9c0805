"""One edit of one block, decided before anything is changed; a recipe keeps it and surgery makes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attn_inject.sites.site import Site


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Where one attention module is inserted and how it is made; plain data only.

    Attributes:
        site: The module that is edited, with layout and size of the tensor that is acted on. Its name is
            the block's; with `replace-*` the replaced module's.
        module: The inserted child's own name in the block, `attn_inject`.
        attention: A registry name, or `package.module:Class`.
        options: The constructor's options, after adapting them to the site.
        placement: A key of `request.PLACEMENTS` other than `paper`, or `stem` and `stem-pool`.
        start: `identity` or `paper`.
        shape: Of the tapped tensor in the recorded run of one sample.
        tap: The fx node whose value is taken (inner placements), or None.
        users: The fx nodes whose use of the tap is replaced; empty means all.
        specialized: Arguments of the block's forward that its trace is specialized to, and their values.
        stride: Of the average pool after attention that replaces a convolution with that stride.
        removed: State-dict keys below the site's name that the replaced module had (`replace-*` only).
        note: What was adapted for this site, or "".
        operation: The number of the modification that it belongs to, from 0.
    """

    site: Site = field(metadata={"flat": True})
    module: str
    attention: str
    options: Mapping[str, Any] = field(default_factory=dict)
    placement: str
    start: str
    shape: tuple[int, ...] = ()
    tap: str | None = None
    users: tuple[str, ...] = ()
    specialized: Mapping[str, Any] = field(default_factory=dict, metadata={"key": "fixed"})
    stride: int = 1
    removed: tuple[str, ...] = ()
    note: str = ""
    operation: int = 0

    @property
    def name(self) -> str:
        """The edited module's qualified name, `layer3.5`."""
        return self.site.name

    @property
    def path(self) -> str:
        """The inserted module's qualified name, `layer3.5.attn_inject`."""
        return f"{self.site.name}.{self.module}"

    def at(self, name: str) -> Edit:
        """The same edit of the module called `name`."""
        return dataclasses.replace(self, site=dataclasses.replace(self.site, name=name))

    @property
    def replaces(self) -> bool:
        """Whether the module called `name` is replaced."""
        return self.placement.startswith(("replace-", "stem"))
