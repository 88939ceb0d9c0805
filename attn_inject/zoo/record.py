"""The record of one output: a line of the ledger, a row of the index."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attn_inject.zoo.engine import Failure
from attn_inject.zoo.values import LARGEST, texts

_TEXTS = ("key", "file", "model", "placement", "status", "digest", "node", "ended")
_KINDS: Mapping[str, Any] = {
    **dict.fromkeys(_TEXTS, str),
    **dict.fromkeys(("size", "peak_memory", "need", "attempts"), int),
    "seconds": int | float,
    "discarded": bool,
    "alone": bool,
    "versions": Mapping,
    "result": Mapping | None,
}


@dataclass(frozen=True, kw_only=True)
class Record:
    """The record of one output.

    Attributes:
        key: Digest of the whole request; equal for equal requests.
        file: Its name in the output folder.
        model: `timm/resnet18`.
        attention: The specs as text.
        placement: As in the plan.
        status: `done` or `failed`.
        digest: SHA-256 of the file, hexadecimal; "" if it failed.
        size: Of the file, bytes.
        discarded: Whether the file was removed once its digest was recorded.
        seconds: Its duration; `peak_memory` is the process's peak memory in bytes.
        need: Bytes of memory that were set aside for it.
        attempts: How many processes tried; on which node the last one ran, and when it ended (UTC).
        alone: Whether nothing else ran meanwhile, since its process had been killed for its memory.
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
    alone: bool = False
    failure: Failure | None = None
    result: Mapping[str, Any] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    reused: bool = field(default=False, compare=False)

    @property
    def is_done(self) -> bool:
        """Whether a file exists or existed."""
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
            TypeError: Something is of the wrong kind.
            ValueError: Something that should be text is not, or the status is unknown.
        """
        given = content["failure"]
        failure = None if given is None else Failure(**given)
        if failure is not None:
            texts([failure.code, failure.message, failure.hint, failure.detail])
        known = {item.name for item in dataclasses.fields(cls)} - {"reused"}
        values = {name: value for name, value in content.items() if name in known}
        values |= {"attention": texts(content["attention"]), "failure": failure}
        record = cls(**values)
        for name, kind in _KINDS.items():
            value = getattr(record, name)
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                raise TypeError(f"{name} is a {type(value).__name__}")
            if isinstance(value, int | float) and not 0 <= value < LARGEST:
                raise ValueError(f"{name} is {value}")
        if record.status not in ("done", "failed"):
            raise ValueError(f"the status is {record.status!r}")
        return record
