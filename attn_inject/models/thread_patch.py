"""An attribute of a class replaced for one thread; every other thread keeps getting the original.

torch and torchvision offer no hook at some places. What is replaced there must not show in a thread that
trains or loads something else meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_in_use: dict[tuple[type, str], _PerThread] = {}


@contextmanager
def replaced_here(owner: type, name: str, value: Any) -> Iterator[None]:
    """Within, `owner.name` is `value` in this thread alone.

    Args:
        owner: A class.
        name: An attribute in its own namespace: a function, a `classmethod`, a `property`.
        value: What stands in `vars(owner)`, of any of these kinds.
    """
    key = (owner, name)
    with _lock:
        if key not in _in_use:
            _in_use[key] = _PerThread(vars(owner)[name])
            setattr(owner, name, _in_use[key])
        patch = _in_use[key]
        patch.users += 1
    patch.stack.append(value)
    try:
        yield
    finally:
        patch.stack.pop()
        with _lock:
            patch.users -= 1
            if not patch.users:
                setattr(owner, name, _in_use.pop(key).original)


class _PerThread:
    """A descriptor that is another one in each thread."""

    def __init__(self, original: Any) -> None:
        self.original = original
        self.users = 0
        self._local = threading.local()

    @property
    def stack(self) -> list[Any]:
        """What this thread put in its place, the last one on top."""
        stack: list[Any] = self._local.__dict__.setdefault("stack", [])
        return stack

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        here = self.stack[-1] if self.stack else self.original
        return here.__get__(instance, owner)
