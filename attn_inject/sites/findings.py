"""The result of one recorded run: sites with their calls, and rejections."""

from __future__ import annotations

from dataclasses import dataclass

from attn_inject.sites.nodes import ModuleCall
from attn_inject.sites.recording import Recording
from attn_inject.sites.residual import Addition
from attn_inject.sites.site import Rejection, Site


@dataclass(frozen=True)
class FoundSite:
    """A site together with the recorded call of its block.

    Attributes:
        site: The site.
        call: The first call of its block.
        shape: Of the block's output tensor in that call, batch included.
        addition: Its last residual addition, or None (family blocks, modules named by hand).
        note: A note on the place for people, or "".
        grid_is_read: Whether anything after the block reads the tokens of its grid.
    """

    site: Site
    call: ModuleCall
    shape: tuple[int, ...]
    addition: Addition | None
    grid_is_read: bool = True
    note: str = ""


@dataclass(frozen=True)
class Findings:
    """The result of one recorded run.

    Attributes:
        recording: The run.
        found: Sites in the order in which they first ran.
        rejected: Candidates that are not sites.
    """

    recording: Recording
    found: tuple[FoundSite, ...]
    rejected: tuple[Rejection, ...]
