"""What came of one output: a line of the ledger, a row of the index."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attn_inject.zoo.engine import Failure


@dataclass(frozen=True, kw_only=True)
class Record:
    """What came of one output.

    Attributes:
        key: Digest of everything that was asked; equal for equal requests.
        file: Its name in the output folder.
        model: `timm/resnet18`.
        attention: The specs as text.
        placement: As in the plan.
        status: `done` or `failed`.
        digest: SHA-256 of the file, hexadecimal; "" if it failed.
        size: Of the file, bytes.
        discarded: Whether the file was removed once its digest was noted.
        seconds: That it took, and the process's peak memory in bytes.
        need: Bytes of memory that were set aside for it.
        attempts: How many processes tried; on which node the last one ran, and when it ended (UTC).
        failure: Why it failed, or None.
        result: The document of `inject --json`; None if it failed.
        versions: Of the libraries.
        reused: Whether an earlier run made it; not part of the ledger.
    """

    key: str
    file: str
    model: str
    attention: tuple[str, ...]
    placement: str
    status: str
    digest: str = ""
    size: int = 0
    discarded: bool = False
    seconds: float = 0.0
    peak_memory: int = 0
    need: int = 0
    attempts: int = 1
    node: str = ""
    ended: str = ""
    failure: Failure | None = None
    result: Mapping[str, Any] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    reused: bool = field(default=False, compare=False)

    @property
    def is_done(self) -> bool:
        """Whether there is, or was, a file."""
        return self.status == "done"

    @property
    def label(self) -> str:
        """`timm/resnet18 ela-l`, for people."""
        return f"{self.model} {', '.join(self.attention)}"

    def to_json(self) -> dict[str, Any]:
        """A line of the ledger."""
        content = dataclasses.asdict(self)
        del content["reused"]
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Record:
        """From a line of the ledger.

        Raises:
            KeyError: Something is missing.
            TypeError: Something is of the wrong kind, or from a newer version.
        """
        failure = content["failure"]
        known = {item.name for item in dataclasses.fields(cls)} - {"reused"}
        values = {name: value for name, value in content.items() if name in known}
        values |= {"attention": tuple(content["attention"]), "failure": failure and Failure(**failure)}
        return cls(**values)
