"""From a spec to a module: the options are checked, completed and adapted to the number of channels.

`resolve` decides and can be printed; `create_attention` builds.
"""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from attn_inject.attention import registry
from attn_inject.attention.contract import needs_size
from attn_inject.errors import FitError, UnknownNameError, UsageError, text_of
from attn_inject.request import AttentionSpec, Option

_PLAIN = bool | int | float | str
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """What will be built for one channel count.

    Attributes:
        entry: The module by name.
        options: Every option whose value is plain data; enough to build the same module again.
        changed: The options that differ from those of the name.
        note: What was adapted to the number of channels, or "".
    """

    entry: registry.Entry
    options: Mapping[str, Option]
    changed: Mapping[str, Option]
    note: str = ""

    def __str__(self) -> str:
        """The shortest spec that gives these options, `sa:groups=32`."""
        return str(AttentionSpec(name=self.entry.name, options=self.changed))


def resolve(spec: str | AttentionSpec, channels: int | None) -> Resolved:
    """Find a spec's module and the options that fit `channels`.

    Args:
        spec: A module's name with options.
        channels: C of the maps; None keeps the options as they are, as those of a built module are.

    Raises:
        FitError: The module does not accept an option's value.
        UnknownNameError: There is no such module, or it has no such option.
        UsageError: An option is missing or of the wrong kind, or the class cannot be used.
        MissingExtraError: The module needs a package that is not installed.
        ModelError: Importing the module failed.
    """
    spec = AttentionSpec.parse(spec) if isinstance(spec, str) else spec
    entry = registry.find(spec.name)
    module = registry.load(entry)
    own = registry.options_of(entry)
    _check_names(entry, spec.options, own)
    _check_kinds(entry, spec.options, module)
    # A default that a file cannot keep, None or a class, is left to the constructor.
    asked = {name: value for name, value in own.items() if isinstance(value, _PLAIN)} | dict(spec.options)
    if missing := [name for name, value in own.items() if _is_missing(value) and name not in asked]:
        raise UsageError(
            f"{entry.name} needs {_listed(missing)}.", hint=f"Write {entry.name}:{missing[0]}=VALUE."
        )
    options = asked
    if channels is not None and hasattr(module, "adapt"):
        with _fitting(entry, str(spec), channels):
            options = module.adapt(channels, asked)
    return Resolved(
        entry=entry,
        options=options,
        changed={name: value for name, value in options.items() if value != own[name]},
        note=_note(channels, asked, options),
    )


def create_attention(
    name: str | AttentionSpec, *, channels: int, size: tuple[int, int] | None = None, **options: Option
) -> nn.Module:
    """Build an attention module.

    Args:
        name: A name of `attn-inject list attention`, with options or without: `se`, `se:reduction=8`.
        channels: C of the maps, (N, C, H, W).
        size: (H, W) of the maps, in positions, for the modules that accept one size only.
        options: The module's options; they overrule those in `name`.

    Raises:
        FitError: The module does not fit `channels` or needs `size`.
        UnknownNameError: There is no such module, or it has no such option.
        UsageError: An option is missing or of the wrong kind, or the class cannot be used.
        MissingExtraError: The module needs a package that is not installed.
        ModelError: Importing the module failed.
    """
    spec = AttentionSpec.parse(name) if isinstance(name, str) else name
    spec = AttentionSpec(name=spec.name, options={**spec.options, **options})
    return build(resolve(spec, channels), channels=channels, size=size)


def build(resolved: Resolved, *, channels: int, size: tuple[int, int] | None = None) -> nn.Module:
    """Build what `resolve` decided.

    Raises:
        FitError: The module does not fit `channels` or needs `size`.
    """
    module = registry.load(resolved.entry)
    arguments: dict[str, Any] = dict(resolved.options)
    if needs_size(module):
        required = inspect.signature(module).parameters["size"].default is inspect.Parameter.empty
        if size is None and required:
            raise FitError(
                f"{resolved.entry.name} accepts maps of one size only, and no size is known here.",
                hint="Give size=(H, W).",
            )
        arguments["size"] = size
    elif size is not None and _takes_feat_size(resolved.entry, module):
        arguments["feat_size"] = size
    with _fitting(resolved.entry, str(resolved), channels):
        built: nn.Module = module(channels, **arguments)
    return built


@contextmanager
def _fitting(entry: registry.Entry, spec: str, channels: int) -> Iterator[None]:
    """Turn a constructor's error into one of ours; a plug-in may raise anything, our modules ValueError."""
    try:
        yield
    except Exception as error:
        if entry.is_built_in and not isinstance(error, ValueError):
            raise
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {text_of(error)}"
        raise FitError(
            f"{spec} does not fit {channels} channels. {reason}",
            hint="Choose other options, or leave these sites out.",
        ) from error


def _takes_feat_size(entry: registry.Entry, module: Callable[..., Any]) -> bool:
    """Whether a module of timm is built for one map size, which timm calls so."""
    return entry.owner == "timm" and "feat_size" in inspect.signature(module).parameters


def _check_names(entry: registry.Entry, given: Mapping[str, Option], own: Mapping[str, Any]) -> None:
    for name in given:
        if name not in own:
            takes = f"its options are {_listed(list(own))}" if own else "it takes no options"
            close = difflib.get_close_matches(name, own, n=1)
            raise UnknownNameError(
                f"{entry.name} has no option {name!r}; {takes}.",
                hint=f"Did you mean {close[0]}?" if close else f"Leave {name!r} out.",
            )


def _check_kinds(entry: registry.Entry, given: Mapping[str, Option], module: Callable[..., Any]) -> None:
    parameters, hints = registry.option_parameters(module), _hints(module) if given else {}
    for name, value in given.items():
        kinds = _kinds(parameters[name], hints.get(name))
        if kinds and not any(_is_kind(value, kind) for kind in kinds):
            wanted = " or ".join(_KINDS[kind] for kind in kinds)
            raise UsageError(
                f"{entry.name}: {name}={value} is not accepted; {name} is {wanted}.",
                hint=f"For example {entry.name}:{name}={_example(kinds[0], value)}.",
            )


def _kinds(parameter: inspect.Parameter, hint: Any) -> list[type]:
    """Which of bool, int, float and str an option may be; empty if nothing says so."""
    kinds = [kind for kind in (typing.get_args(hint) or (hint,)) if kind is not type(None)]
    if kinds and all(kind in _KINDS for kind in kinds):
        return kinds
    return [type(parameter.default)] if hint is None and type(parameter.default) in _KINDS else []


def _hints(module: Callable[..., Any]) -> dict[str, Any]:
    constructor = module.__init__ if inspect.isclass(module) else module
    try:
        return typing.get_type_hints(constructor)
    # Type hints of other code may name something that is not imported; then the default value decides.
    except (NameError, TypeError, AttributeError):
        return {}


def _is_kind(value: Option, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, kind) or (kind is float and isinstance(value, int))


def _example(kind: type, given: Option) -> str:
    if kind is int and isinstance(given, float) and 1 <= given < float("inf"):
        return str(int(given))
    return {bool: "true", int: "8", float: "0.5"}.get(kind, "WORD")


def _is_missing(value: Any) -> bool:
    return value is inspect.Parameter.empty


def _note(channels: int | None, asked: Mapping[str, Option], used: Mapping[str, Option]) -> str:
    sentences = [
        f"{name}={asked[name]} does not fit {channels} channels: {name}={value} used"
        for name, value in used.items()
        if value != asked[name]
    ]
    return "; ".join(sentences)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]
