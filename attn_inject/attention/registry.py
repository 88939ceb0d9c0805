"""The attention modules by name: a table of lazy targets, read without importing torch.

The built-in rows come from `attn_inject.attention.catalog`. A plug-in is one entry point of the group
`attn_inject.attention` whose name is the module's name and whose value is its class:

    [project.entry-points."attn_inject.attention"]
    my-gate = "my_package.gates:MyGate"

Both are registered in the same way: a name that is taken, malformed or leads nowhere is refused with a
warning that names its owner, and `problems` lists it. `package.module:Class` and `timm:NAME` need no entry.
"""

from __future__ import annotations

import fnmatch
import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from attn_inject.errors import MissingExtraError, ModelError, UnknownNameError, UsageError, unknown_name
from attn_inject.request import Option

GROUP = "attn_inject.attention"
CATALOGUE = "attn_inject.attention.catalog"
SEE = "attn-inject list attention"

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One attention module by name.

    Attributes:
        name: What the user types.
        target: `package.module:Class`, imported when the module is used.
        owner: The distribution that brings it.
        options: Every option and its value under this name; empty outside the catalogue, see `options_of`.
        absent: What an option means that an older file does not have, where that is not its default.
        title: Of the paper.
        authors: First author and others.
        year: When the paper first appeared.
        arxiv: The paper's arXiv id, or "".
        venue: Where it appeared, for a paper that is not on arXiv.
        url: Of the paper; by default that of its arXiv id.
        placement: The authors' placement, a key of `PLACEMENTS`.
        inverted: Their placement in inverted residual blocks, if another one; then blocks with a depthwise
            convolution that do not expand their channels are skipped.
        stages: The stages in which the authors place it, numbers from 1; empty means all.
        blocks: The blocks of such a stage: `all`, `last`, or `second`, every second one.
        whole: The stages in which they take every block, whatever `blocks` is.
        acts_on: `channel` or `spatial`, as in `attention.contract`.
        summary: One line.
        parameters: Their number, a formula in C, H, W and the letters that the summary explains.
        aliases: Other names for it.
    """

    name: str
    target: str
    owner: str = "attn-inject"
    options: Mapping[str, Option] = field(default_factory=dict)
    absent: Mapping[str, Option] = field(default_factory=dict)
    title: str = ""
    authors: str = ""
    year: int | None = None
    arxiv: str = ""
    venue: str = ""
    url: str = ""
    placement: str = "after"
    inverted: str = ""
    stages: tuple[int, ...] = ()
    blocks: str = "all"
    whole: tuple[int, ...] = ()
    acts_on: str = "spatial"
    summary: str = ""
    parameters: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def is_built_in(self) -> bool:
        """Whether it is in the catalogue."""
        return self.owner == "attn-inject"

    @property
    def source(self) -> str:
        """`arXiv:1709.01507`, or the venue of a paper that is not on arXiv."""
        return f"arXiv:{self.arxiv}" if self.arxiv else self.venue

    @property
    def paper_url(self) -> str:
        """Where the paper can be read, or ""."""
        return self.url or (f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else "")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A plug-in that cannot be used, and why."""

    name: str
    owner: str
    reason: str

    def __str__(self) -> str:
        return f"The attention module {self.name!r} of {self.owner} was left out: {self.reason}."


class PluginWarning(UserWarning):
    """A plug-in was left out."""


def entries() -> Mapping[str, Entry]:
    """Every catalogue row and plug-in by name, in the catalogue's order; imports none of them.

    A plug-in that cannot be listed is left out with a `PluginWarning`.
    """
    table, found = _tables()
    for problem in found:
        warnings.warn(str(problem), PluginWarning, stacklevel=2)
    return MappingProxyType(table)


def find(name: str) -> Entry:
    """The entry called `name`, in any case, with `_` or `-`; also by alias, as a class path or `timm:NAME`.

    Raises:
        UnknownNameError: There is no such name; the nearest ones are listed.
    """
    if name.lower().startswith("timm:"):
        kind = name[len("timm:") :].lower()
        return Entry(name=f"timm:{kind}", target=f"timm:{kind}", owner="timm")
    if _TARGET.fullmatch(name):
        return Entry(name=name, target=name, owner=name.partition(".")[0].partition(":")[0])
    names = {_plain(known): entry for entry in entries().values() for known in (entry.name, *entry.aliases)}
    if _plain(name) not in names:
        raise unknown_name("attention module", name, names, see=SEE)
    return names[_plain(name)]


def match(glob: str) -> list[Entry]:
    """The entries whose names match `glob`, in the catalogue's order.

    Raises:
        UnknownNameError: No name matches; the nearest ones are listed.
    """
    matched = [entry for entry in entries().values() if fnmatch.fnmatchcase(entry.name, _plain(glob))]
    if not matched:
        raise unknown_name("attention module", glob, entries(), see=SEE)
    return matched


def load(entry: Entry) -> Callable[..., Any]:
    """Import an entry's class.

    Raises:
        UnknownNameError: Its target does not exist.
        MissingExtraError: Its target needs a package that is not installed.
        ModelError: Importing its target failed.
        UsageError: Its target is not a torch module, or takes `**kwargs`, so that its options are unknown.
    """
    if entry.owner == "timm" and entry.target.startswith("timm:"):
        return _load_timm(entry)
    if entry.name == entry.target and not {"", os.getcwd()} & set(sys.path):
        # `python -m` finds modules in the current directory; a console script does not.
        sys.path.insert(0, os.getcwd())
    module, _, path = entry.target.partition(":")
    found: Any = _import(module, entry)
    for attribute in path.split("."):
        if not hasattr(found, attribute):
            raise UnknownNameError(
                f"{entry.name} names {entry.target!r}, and {module} has no {path}.", hint=_mend(entry)
            )
        found = getattr(found, attribute)
    if not _is_torch_module(found):
        raise UsageError(
            f"{entry.target} is not a subclass of torch.nn.Module.", hint="Name a module's class."
        )
    _refuse_open_signature(found, entry)
    return found  # type: ignore[no-any-return]


def options_of(entry: Entry) -> dict[str, Any]:
    """Every option of a module and its default; imports only what the catalogue does not hold.

    A required option has the value `inspect.Parameter.empty`.
    """
    if entry.is_built_in:
        return dict(entry.options)
    return {name: parameter.default for name, parameter in option_parameters(load(entry)).items()}


def option_parameters(module: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The constructor's parameters after the first, which is `channels`, without `size`."""
    parameters = _parameters(module)[1:]
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return {p.name: p for p in named if p.name != "size"}


def problems() -> list[Problem]:
    """Every plug-in that cannot be used and why; imports all of them."""
    table, found = _tables()
    return list(found) + [
        Problem(name=entry.name, owner=entry.owner, reason=reason)
        for entry in table.values()
        if not entry.is_built_in and (reason := _why_unloadable(entry))
    ]


def refresh() -> None:
    """Read the plug-ins again at the next call, after one was installed into a running process."""
    _tables.cache_clear()


def _why_unloadable(entry: Entry) -> str:
    try:
        load(entry)
    except (UnknownNameError, MissingExtraError, ModelError, UsageError) as error:
        return error.message.rstrip(".")
    return ""


@functools.cache
def _tables() -> tuple[dict[str, Entry], tuple[Problem, ...]]:
    """The usable entries by name, and what was refused."""
    table: dict[str, Entry] = {}
    found: list[Problem] = []
    for entry in (*_catalogue(), *_plugins()):
        if reason := _why_refused(entry, table.values()):
            found.append(Problem(name=entry.name, owner=entry.owner, reason=reason))
        else:
            table[entry.name] = entry
    return table, tuple(found)


def _catalogue() -> Iterable[Entry]:
    # By name, since `attention.contract` imports torch.
    rows: Iterable[Entry] = importlib.import_module(CATALOGUE).ROWS
    return rows


def _plugins() -> Iterator[Entry]:
    """The plug-ins as installed, in an order that does not depend on the machine."""
    points = importlib.metadata.entry_points(group=GROUP)
    owned = [(point.dist.name if point.dist else "an unknown package", point) for point in points]
    for owner, point in sorted(owned, key=lambda pair: (pair[0], pair[1].name)):
        target = point.value.partition("[")[0].strip()
        yield Entry(name=point.name, target=target, owner=owner, summary=f"from {owner}")


def _why_refused(entry: Entry, taken: Iterable[Entry]) -> str:
    if not _NAME.fullmatch(entry.name):
        return "a name holds letters, digits, `-`, `_` and `.` only"
    if not _TARGET.fullmatch(entry.target):
        return f"its target {entry.target!r} is not of the form package.module:Class"
    names = {_plain(name) for name in (entry.name, *entry.aliases)}
    for other in taken:
        if names & {_plain(name) for name in (other.name, *other.aliases)}:
            return f"{other.owner} already has a module called {other.name!r}"
    package = entry.target.partition(":")[0].partition(".")[0]
    if package not in sys.modules and importlib.util.find_spec(package) is None:
        return f"no package {package!r} is installed"
    return ""


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def _import(module: str, entry: Entry) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise UnknownNameError(
                f"{entry.name} names {entry.target!r}, and there is no module {error.name!r}.",
                hint=_mend(entry),
            ) from None
        raise MissingExtraError(
            f"{entry.name} needs the package {error.name!r}, which is not installed.",
            hint=f"Install it, or the extra of {entry.owner} that contains it.",
        ) from error
    # Whatever other code raises while it is imported is reported to the user, without our traceback.
    except (Exception, SystemExit) as error:
        raise ModelError(
            f"{entry.name} cannot be imported from {entry.target!r}: {type(error).__name__}: {error}.",
            hint=_mend(entry),
        ) from error


def _load_timm(entry: Entry) -> Callable[..., Any]:
    kind = entry.target.partition(":")[2]
    try:
        found: Callable[..., Any] | None = _import("timm.layers", entry).get_attn(kind)
    except AssertionError:
        found = None
    if found is None:
        raise UnknownNameError(
            f"timm has no attention module called {kind!r}.",
            hint="timm.layers.get_attn knows its names: se, ese, eca, ge, gc, cbam, coord, ela and others.",
        )
    return found


def _mend(entry: Entry) -> str:
    head = entry.name.partition(":")[0]
    if entry.name == entry.target and head in entries():
        return f"For an option of {head} write {head}:option=value."
    if entry.name == entry.target:
        return "Write package.module:Class, for a package that Python can import from here."
    return f"Repair or uninstall {entry.owner}; `attn-inject doctor` lists what is wrong with plug-ins."


def _is_torch_module(found: Any) -> bool:
    # By name, since this file does not import torch.
    return inspect.isclass(found) and any(
        (base.__module__, base.__qualname__) == ("torch.nn.modules.module", "Module")
        for base in inspect.getmro(found)
    )


def _refuse_open_signature(module: Callable[..., Any], entry: Entry) -> None:
    parameters = _parameters(module)
    stars = [str(p) for p in parameters if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if stars or not parameters or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
        takes = f"takes {stars[0].partition(':')[0]}" if stars else "does not take the number of channels"
        raise UsageError(
            f"The constructor of {entry.target} {takes}, so its options cannot be listed or checked.",
            hint="Write it as (channels, *, option=default, ...).",
        )


@functools.cache
def _parameters(module: Callable[..., Any]) -> tuple[inspect.Parameter, ...]:
    return tuple(inspect.signature(module).parameters.values())
