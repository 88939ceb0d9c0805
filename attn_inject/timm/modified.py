"""The module that timm lists modified architectures under; `registry` fills it.

timm registers a function under its name, takes the module that defines it for the model's family, and looks
there for `default_cfgs` and `__all__`.
"""

from __future__ import annotations

from typing import Any

__all__: list[str] = []

default_cfgs: dict[str, Any] = {}
