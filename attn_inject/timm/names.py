"""Adds modified names to timm's registry of models when they are first looked up.

Registering all names that the rule makes, 40,000 and growing, was measured to take 1.3 s and 170 MiB, and
would make `timm.list_models()` useless. So a name is registered, by timm's own `register_model`, when it is
first looked up. timm looks names up in plain tables; `install` replaces them by tables that also do this.
"""

from __future__ import annotations

import functools
import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import timm
from timm.models import _registry as theirs

from attn_inject.attention import registry as attention_registry
from attn_inject.errors import UsageError, unknown_name
from attn_inject.request import Plan, as_specs
from attn_inject.timm import modified, rule, saved
from attn_inject.timm.architecture import Architecture

_known: dict[str, Architecture] = {}
_by_rule: set[str] = set()


class _Asked:
    """A table in which a name made by the rule appears when it is looked up."""

    def __contains__(self, name: object) -> bool:
        _serve(name)
        return super().__contains__(name)  # type: ignore[misc,no-any-return]


class _Table(_Asked, dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise KeyError(name)


class _Names(_Asked, set[str]):
    pass


def install() -> None:
    """Make the names known to timm; calling it again changes nothing."""
    if isinstance(theirs._model_entrypoints, _Table):
        return
    theirs._model_entrypoints = _Table(theirs._model_entrypoints)
    theirs._model_pretrained_cfgs = _Table(theirs._model_pretrained_cfgs)
    theirs._model_has_pretrained = _Names(theirs._model_has_pretrained)
    listing = _listing(theirs.list_models)
    for module in (theirs, timm.models, timm):
        module.list_models = listing


def register(architecture: Architecture) -> None:
    """Register one architecture under its own name.

    Raises:
        UsageError: The name is malformed, timm has it, or it names another architecture.
        UnknownNameError: No such base or attention module.
    """
    name, base = architecture.name, architecture.base
    if not re.fullmatch(r"\w+", str(name)):
        raise UsageError(
            f"{name!r} cannot be a name in timm.",
            hint="Use letters, digits and _; a . begins a pretrained tag.",
        )
    if _known.get(name) == architecture:
        return
    if name in _known and name not in _by_rule:
        raise UsageError(f"{name!r} was registered with other values.", hint="Choose another name.")
    if name not in _known and _has(name):
        raise UsageError(f"timm has an architecture called {name!r}.", hint="Choose another name.")
    if "." in str(base) or base not in theirs._model_entrypoints:
        raise unknown_name("architecture in timm", base, theirs.list_models(), see="attn-inject list models")
    for spec in architecture.plan.attention:
        attention_registry.find(spec.name)
    _by_rule.discard(name)
    _enter(architecture)


def _serve(name: object) -> None:
    """Register `name` if the rule makes it and it is not taken."""
    architecture = str(name).partition(".")[0]
    if architecture in _known or _has(architecture):
        return
    if architecture == saved.MODIFIED and architecture not in _by_rule:
        _by_rule.add(architecture)  # first, as below; so it is not listed, and no base
        timm.models.register_model(saved.entrypoint())
        return
    if made := rule.split(architecture, _is_base):
        base, attention = made
        _by_rule.add(architecture)
        plan = Plan(attention=as_specs(attention), check="off")
        _enter(Architecture(name=architecture, base=base, plan=plan))


def _is_base(name: str) -> bool:
    return _has(name) and name not in _by_rule and name not in timm.models.get_deprecated_models()


def _has(name: str) -> bool:
    return dict.__contains__(theirs._model_entrypoints, name)


def _enter(architecture: Architecture) -> None:
    """Pass an architecture to timm's own `register_model`, with the base's pretrained tags."""
    name = architecture.name
    replaced = name in _known
    _known[name] = architecture  # first, since timm tests whether it already has the name

    def entrypoint(pretrained: bool = False, **arguments: Any) -> Any:
        return architecture.build(pretrained=pretrained, **arguments)

    entrypoint.__name__ = entrypoint.__qualname__ = name
    entrypoint.__module__ = modified.__name__
    entrypoint.__doc__ = f"{architecture.base} with {', '.join(map(str, architecture.plan.attention))}."
    setattr(modified, name, entrypoint)
    if replaced:
        theirs._model_entrypoints[name] = entrypoint
        return
    if configs := timm.models.get_arch_pretrained_cfgs(architecture.base):
        modified.default_cfgs[name] = _configs(configs)
    timm.models.register_model(entrypoint)


def _configs(configs: dict[str, Any]) -> Any:
    """A base's configurations by tag, the default first, as `register_model` takes them."""
    tags = {full.partition(".")[2]: config for full, config in configs.items()}
    return timm.models.DefaultCfg(
        tags=deque(tags), cfgs=tags, is_pretrained=any(config.has_weights for config in tags.values())
    )


def _listing(original: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """`timm.list_models`, which also lists names made by the rule if a filter matches them."""

    @functools.wraps(original)
    def list_models(filter: str | Iterable[str] = "", *args: Any, **keywords: Any) -> list[str]:
        filters = [filter] if isinstance(filter, str) else list(filter or ())
        bases = [name for name in original() if name not in _by_rule]
        asked = {name for glob in filters for name in rule.asked_for(glob, bases)}
        for name in asked:
            _serve(name)
        found = original(filter if isinstance(filter, str) else filters, *args, **keywords)
        return [name for name in found if (plain := name.partition(".")[0]) not in _by_rule or plain in asked]

    return list_models
