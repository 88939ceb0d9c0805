"""The installed libraries, extras and plug-ins, and what is wrong with them."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attn_inject.attention import registry
from attn_inject.cli.attempt import MARK, PLUGINS
from attn_inject.cli.boundary import LIBRARIES
from attn_inject.versions import VERSION

if TYPE_CHECKING:
    from packaging.requirements import Requirement

MATCHING_BUILDS = (
    "Install torchvision and the torch build that it asks for together: "
    "pip install --force-reinstall torch torchvision"
)
_PATIENCE = 300  # seconds until an import that does not end is stopped


@dataclass(frozen=True, kw_only=True)
class Library:
    """A library that attn-inject needs.

    Attributes:
        name: pip's name for it.
        version: The installed one, or "".
        oldest: The oldest version that is supported, or "" if unknown.
        problem: What is wrong with it, or "".
        remedy: What to do about that, or "".
    """

    name: str
    version: str
    oldest: str = ""
    problem: str = ""
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Extra:
    """An optional part: `pip install 'attn-inject[name]'` installs what is `missing`."""

    name: str
    missing: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Everything that `doctor` reports."""

    version: str
    python: str
    libraries: tuple[Library, ...]
    extras: tuple[Extra, ...]
    plugins: tuple[registry.Entry, ...]
    plugin_problems: tuple[registry.Problem, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether every library that is needed can be imported and is new enough."""
        return not any(library.problem for library in self.libraries)

    def to_json(self) -> dict[str, Any]:
        """The document of `doctor --json`."""
        return {
            "healthy": self.is_healthy,
            "attn_inject": self.version,
            "python": self.python,
            "libraries": [dataclasses.asdict(library) for library in self.libraries],
            "extras": [{"name": extra.name, "missing": list(extra.missing)} for extra in self.extras],
            "plugins": [{"name": entry.name, "owner": entry.owner} for entry in self.plugins],
            "plugin_problems": [dataclasses.asdict(problem) for problem in self.plugin_problems],
        }


def diagnose() -> Diagnosis:
    """Examine everything; imports every library and plug-in, in another process."""
    needs = list(_needs())
    found = attempts([*LIBRARIES, PLUGINS])
    oldest = {need.name: need.oldest for need in needs if not need.extra}
    return Diagnosis(
        version=VERSION,
        python=platform.python_version(),
        libraries=_libraries(oldest, found),
        extras=tuple(_extras(needs)),
        plugins=tuple(entry for entry in registry.entries().values() if not entry.is_built_in),
        plugin_problems=tuple(_plugin_problems(found.get(PLUGINS, []))),
    )


def attempts(names: Sequence[str]) -> dict[str, Any]:
    """What `attempt` finds for each name; a process that ends early is replaced for the rest."""
    found: dict[str, Any] = {}
    rest = list(names)
    while rest:
        found |= dict(_attempt(rest))
        done = [name for name in rest if name in found]
        if not done:
            return found | dict.fromkeys(rest, "Python could not be started to import it")
        rest = [name for name in rest if name not in found]
    return found


def _attempt(names: list[str]) -> Iterator[tuple[str, Any]]:
    command = [sys.executable, "-P", "-m", "attn_inject.cli.attempt", *names]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
        output = done.stdout
    except subprocess.TimeoutExpired as error:
        partial = error.stdout or b""
        output = partial.decode(errors="replace") if isinstance(partial, bytes) else partial
    for line in output.splitlines():
        if line.startswith(MARK):
            name, finding = json.loads(line.removeprefix(MARK))
            yield name, finding


def _libraries(oldest: dict[str, str], found: dict[str, Any]) -> tuple[Library, ...]:
    """Every library; one that fails only because of an earlier one has the earlier one's remedy."""
    libraries: list[Library] = []
    for name in LIBRARIES:
        library = _library(name, oldest.get(name, ""), found.get(name, ""))
        same = [
            earlier for earlier in libraries if found.get(name) and found.get(earlier.name) == found[name]
        ]
        remedy = same[0].remedy if same else library.remedy
        libraries.append(dataclasses.replace(library, remedy=remedy))
    return tuple(libraries)


def _library(name: str, oldest: str, problem: str) -> Library:
    version = _version(name)
    if not version:
        problem, remedy = "not installed", f"pip install {name}"
    elif problem:
        remedy = MATCHING_BUILDS if name == "torchvision" else f"pip install --force-reinstall {name}"
    elif oldest and _is_older(version, oldest):
        problem, remedy = f"older than {oldest}", f"pip install --upgrade '{name}>={oldest}'"
    else:
        remedy = ""
    return Library(name=name, version=version, oldest=oldest, problem=problem, remedy=remedy)


@dataclass(frozen=True)
class _Need:
    name: str
    oldest: str
    extra: str


def _needs() -> Iterator[_Need]:
    """The requirements of the installed distribution of attn-inject; empty if it is not installed."""
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires("attn-inject") or []
        extras = importlib.metadata.metadata("attn-inject").get_all("Provides-Extra", [])
    except importlib.metadata.PackageNotFoundError:
        return
    for requirement in map(Requirement, lines):
        oldest = [part.version for part in requirement.specifier if part.operator == ">="]
        asking = [extra for extra in ("", *extras) if _is_asked(requirement, extra)]
        if asking:
            yield _Need(requirement.name, oldest[0] if oldest else "", asking[0])


def _is_asked(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _extras(needs: Sequence[_Need]) -> Iterator[Extra]:
    for extra in dict.fromkeys(need.extra for need in needs if need.extra):
        packages = [need.name for need in needs if need.extra == extra]
        yield Extra(name=extra, missing=tuple(name for name in packages if not _version(name)))


def _plugin_problems(found: Any) -> Iterator[registry.Problem]:
    if isinstance(found, str):
        yield registry.Problem(name="*", owner="a plug-in", reason=found)
        return
    for name, owner, reason in found:
        yield registry.Problem(name=name, owner=owner, reason=reason)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _is_older(version: str, oldest: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(version) < Version(oldest)
    except InvalidVersion:
        return True
