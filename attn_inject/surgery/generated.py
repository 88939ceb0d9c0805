"""The generated class: a block stays the same object and gets a subclass of its class with another `forward`.

So hooks, attributes, `isinstance` and methods of the block are unchanged; only `block.__class__` is replaced.

Pickling an fx graph re-traces it and can change its meaning, so a generated class is never pickled. Instead
its parts are stored: the base class, the code, and each global by its importable name. Blocks with equal code
share one class, so the globals are part of the cache's key.
"""

from __future__ import annotations

import importlib
import inspect
import linecache
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import nn

from attn_inject.errors import FitError

BASE_FORWARD = "base_forward"
PREFIX = "attn_inject"

# A class as data: (base class or its data, code, ((name, "module:qualname"), ...)).
ClassData = tuple[Any, str, tuple[tuple[str, str], ...]]

_classes: dict[ClassData, type[nn.Module]] = {}


def generated_class(base: type[nn.Module], code: str, names: Mapping[str, Any]) -> type[nn.Module]:
    """A subclass of `base` whose forward is `code`.

    Args:
        base: The block's class.
        code: Source of one function called `forward`; `base_forward` in it means the base's.
        names: The globals it uses, apart from `base_forward`.

    Raises:
        FitError: A global cannot be imported by name, so the class could not be rebuilt.
    """
    return _make(base, code, tuple(sorted((name, importable_name(value)) for name, value in names.items())))


def _make(base: type[nn.Module], code: str, names: tuple[tuple[str, str], ...]) -> type[nn.Module]:
    key = (base, code, names)
    if key not in _classes:
        _classes[key] = _build(base, code, names)
    return _classes[key]


def _build(base: type[nn.Module], code: str, names: tuple[tuple[str, str], ...]) -> type[nn.Module]:
    filename = f"<{PREFIX} {base.__name__} {len(_classes)}>"
    # Tracebacks and inspect.getsource read the code from here.
    linecache.cache[filename] = (len(code), None, code.splitlines(keepends=True), filename)
    scope: dict[str, Any] = {name: import_name(target) for name, target in names}
    scope[BASE_FORWARD] = scope[f"{PREFIX}_{BASE_FORWARD}"] = base.forward
    exec(compile(code, filename, "exec"), scope)
    forward = scope["forward"]
    _copy_defaults(base.forward, forward)
    forward.__signature__ = inspect.signature(base.forward)
    body = {
        "forward": forward,
        "code": code,
        "__reduce_ex__": _reduce,
        "__module__": base.__module__,
        "__doc__": base.__doc__,
        "_attn_inject_class": (base, code, names),
    }
    if hasattr(base, "fuse"):
        body["fuse"] = _fuse
    bases = (*_hiding(base), base)
    return types.new_class(f"AttnInject{base.__name__}", bases, exec_body=lambda space: space.update(body))


def is_generated(cls: type) -> bool:
    """Whether a class is a generated one."""
    return "_attn_inject_class" in vars(cls)


def base_of(cls: type[nn.Module]) -> type[nn.Module]:
    """The class that a generated one was made from."""
    base: type[nn.Module] = vars(cls)["_attn_inject_class"][0]
    return base


def own_class(cls: type[nn.Module]) -> type[nn.Module]:
    """The author's class, below any number of generated ones."""
    while is_generated(cls):
        cls = base_of(cls)
    return cls


def _copy_defaults(source: Callable[..., Any], target: Any) -> None:
    """Give each parameter of `target` the same default object as in `source`."""
    own = inspect.signature(source, follow_wrapped=False).parameters
    shown = {**inspect.signature(source).parameters, **own}
    parameters = inspect.signature(target).parameters.values()
    given = [shown[p.name] for p in parameters if p.default is not p.empty]
    target.__defaults__ = tuple(p.default for p in given if p.kind is not p.KEYWORD_ONLY) or None
    target.__kwdefaults__ = {p.name: p.default for p in given if p.kind is p.KEYWORD_ONLY} or None


def _reduce(self: nn.Module, protocol: int) -> Any:
    return _revive, (_class_data(type(self)),), _state_of(self)


def _fuse(self: Any) -> Any:
    """timm's method of merging layers for inference; done in place, it keeps the attention module."""
    inserted = {name: child for name, child in self._modules.items() if name.startswith(PREFIX)}
    for name in inserted:
        del self._modules[name]  # blocks that merge all their children do not expect this one
    try:
        fused = super(_innermost(type(self)), self).fuse()
    finally:
        self._modules.update(inserted)
    if fused is not self:
        raise FitError(
            f"A {own_class(type(self)).__name__} merges itself into another module, which would lose the "
            "attention module that was inserted into it.",
            hint="Merge first, with timm.utils.reparameterize_model, and inject into the result.",
        )
    return self


def _innermost(cls: type[nn.Module]) -> type[nn.Module]:
    """The first generated class above the author's own."""
    base: type[nn.Module] = base_of(cls)
    return _innermost(base) if is_generated(base) else cls


def _state_of(module: nn.Module) -> Any:
    getstate = getattr(module, "__getstate__", None)
    return getstate() if getstate else module.__dict__


def _class_data(cls: type[nn.Module]) -> ClassData:
    base, code, names = vars(cls)["_attn_inject_class"]
    return (_class_data(base) if is_generated(base) else base, code, names)


def _class_from(data: ClassData) -> type[nn.Module]:
    base, code, names = data
    return _make(_class_from(base) if isinstance(base, tuple) else base, code, names)


def _revive(data: ClassData) -> nn.Module:
    cls = _class_from(data)
    return cls.__new__(cls)


def importable_name(value: Any) -> str:
    """`module:qualname` of a function, class or other named object, `module:` of a module.

    Raises:
        FitError: Importing that name does not return the value.
    """
    if isinstance(value, types.ModuleType):
        return f"{value.__name__}:"
    target = f"{getattr(value, '__module__', None)}:{getattr(value, '__qualname__', None)}"
    try:
        if import_name(target) is value:
            return target
    except (ImportError, AttributeError, ValueError):
        pass
    raise FitError(
        f"The block's body uses {value!r}, which cannot be imported by name.",
        hint="Use placement after (--placement after), which does not rewrite the body.",
    )


def import_name(target: str) -> Any:
    """The object behind `module:qualname`."""
    module, _, qualname = target.partition(":")
    value: Any = importlib.import_module(module)
    for part in filter(None, qualname.split(".")):
        value = getattr(value, part)
    return value


class _HidingSequential(nn.Sequential):
    """A Sequential runs all its children in turn, except the inserted one."""

    def _own(self) -> list[tuple[str, nn.Module]]:
        return [item for item in self._modules.items() if not item[0].startswith(PREFIX)]

    def __iter__(self) -> Iterator[nn.Module]:
        return iter([module for _, module in self._own()])

    def __len__(self) -> int:
        return len(self._own())

    def __getitem__(self, index: slice | int) -> Any:
        items = self._own()[index]
        return nn.Sequential(OrderedDict(items)) if isinstance(items, list) else items[1]


class _HidingModuleDict(nn.ModuleDict):
    """The same for dictionaries of layers that run their own items (DenseNet's blocks)."""

    def _own(self) -> dict[str, nn.Module]:
        return {k: m for k, m in self._modules.items() if not k.startswith(PREFIX)}

    def __iter__(self) -> Iterator[str]:
        return iter(self._own())

    def __len__(self) -> int:
        return len(self._own())

    def keys(self) -> Any:
        return self._own().keys()

    def items(self) -> Any:
        return self._own().items()

    def values(self) -> Any:
        return self._own().values()


def _hiding(base: type[nn.Module]) -> tuple[type[nn.Module], ...]:
    if issubclass(base, _HidingSequential | _HidingModuleDict):
        return ()
    if issubclass(base, nn.Sequential):
        return (_HidingSequential,)
    return (_HidingModuleDict,) if issubclass(base, nn.ModuleDict) else ()
