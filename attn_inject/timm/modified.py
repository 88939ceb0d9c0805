"""The module that timm lists modified architectures under; `registry` fills it.

timm registers a function under its name, treats the module that defines it as the model's family, and reads
`default_cfgs` and `__all__` there.
"""

from __future__ import annotations

from typing import Any

__all__: list[str] = []

default_cfgs: dict[str, Any] = {}
