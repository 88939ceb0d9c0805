"""Where a model's weights are from, as every report and file states it."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any

KINDS = {
    "random": "the architecture's own initialisation",
    "file": "a file of weights (--weights FILE)",
    "timm": "published by timm (--pretrained)",
    "torchvision": "published by torchvision (--pretrained)",
    "hub": "from the Hugging Face Hub (hf-hub:ORG/NAME)",
    "folder": "from a local folder (local-dir:FOLDER)",
    "factory": "whatever the factory gave the model",
    "object": "those of the module that was passed",
}
_DIGITS = 12
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|hf-hub:")


def is_address(text: str) -> bool:
    """Whether weights are named by an address instead of a path."""
    return _SCHEME.match(text) is not None


@dataclass(frozen=True, kw_only=True)
class WeightsOrigin:
    """The origin of the weights that a model was modified with.

    Attributes:
        kind: A key of `KINDS`.
        name: The file's name, the tag (`resnet50.a1_in1k`), the repository or the folder; or "".
        sha256: Of the file, hexadecimal, or "".
        revision: Of the repository, or "".
        key: What was read of the file, `key state_dict, prefix module.`, or "".
        seed: Of random weights, or None.
        changed: Whether the model was saved from Python later, perhaps after training.
    """

    kind: str
    name: str = ""
    sha256: str = ""
    revision: str = ""
    key: str = ""
    seed: int | None = None
    changed: bool = False

    def __str__(self) -> str:
        """`random (seed 0)`, `trained.pt (SHA-256 1f2e..., key model)`, `timm resnet50.a1_in1k`."""
        if self.kind == "file":
            digest = f"SHA-256 {self.sha256[:_DIGITS]}..." if self.sha256 else ""
            told = f"{self.name} ({', '.join(filter(None, [digest, self.key]))})"
        elif self.kind == "random":
            told = "random" if self.seed is None else f"random (seed {self.seed})"
        else:
            revision = f" at {self.revision}" if self.revision else ""
            told = f"{self.kind} {self.name}{revision}".strip()
        return f"{told}, then changed in Python" if self.changed else told

    @property
    def is_random(self) -> bool:
        """Whether nothing was ever loaded."""
        return self.kind == "random" and not self.changed

    def to_json(self) -> dict[str, Any]:
        """The documented keys of `weights`; what is unknown is left out."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }
