"""The Python API, from the docstrings of everything public and of the values that it returns."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import attn_inject
from attn_inject import difference, results
from attn_inject.cost import budget, comparison, cost, figures
from attn_inject.insight import pruned, seen
from attn_inject.operate import edits, sites
from attn_inject.sites import site
from tests.docs.writers.markdown import docstring

VALUES = {
    results: ("Report", "Insertion", "Check"),
    site: ("Site", "Rejection"),
    sites: ("Sites",),
    edits: ("Edits",),
    cost: ("Cost",),
    figures: ("Stats", "StatsRow", "SiteCost", "Timing"),
    budget: ("Budget", "Fit"),
    pruned: ("PruneReport", "Step"),
    seen: ("Look", "SiteSeen", "GateSeen", "Picture"),
    comparison: ("Comparison", "Side", "Inserted"),
    difference: ("Difference", "ChangedBlock", "BlockState", "InsertedHere", "Reshaped"),
}


def functions() -> str:
    """Every public function."""
    return "\n\n".join(_entry(name, item) for name, item in _public().items() if inspect.isfunction(item))


def classes() -> str:
    """Every public class."""
    return "\n\n".join(_entry(name, item) for name, item in _public().items() if inspect.isclass(item))


def _public() -> dict[str, Any]:
    own = {name: getattr(attn_inject, name) for name in attn_inject.__all__}
    return own | {f"zoo.{name}": getattr(attn_inject.zoo, name) for name in attn_inject.zoo.__all__}


def values() -> str:
    """What the functions return."""
    return "\n\n".join(_entry(name, getattr(room, name)) for room, names in VALUES.items() for name in names)


def _entry(name: str, item: Any) -> str:
    signature = f"```text\n{name}{_signature(item)}\n```"
    members = [f"`{name}.{member}`: {text}" for member, text in _members(item)]
    return "\n\n".join([f"### `{name}`", signature, docstring(item), *members])


def _signature(item: Any) -> str:
    signature = inspect.signature(item)
    parameters = list(signature.parameters.values())
    written = [_with_plain_names(_parameter(parameter), item) for parameter in parameters]
    keyword_only = [p.kind is p.KEYWORD_ONLY for p in parameters]
    if True in keyword_only:
        written.insert(keyword_only.index(True), "*")
    answer = signature.return_annotation
    returns = "" if answer in (signature.empty, None, "None") else f" -> {answer}"
    line = f"({', '.join(written)}){returns}"
    if len(line) < 80:
        return line
    return "(\n" + "".join(f"    {parameter},\n" for parameter in written) + f"){returns}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    kind = "" if parameter.annotation is parameter.empty else f": {parameter.annotation}"
    default = "" if parameter.default is parameter.empty else f" = {_default(parameter.default)}"
    return f"{stars}{parameter.name}{kind}{default}"


def _with_plain_names(text: str, item: Any) -> str:
    """Private names of types, `_Path`, as what they stand for."""
    known = vars(inspect.getmodule(item))
    return re.sub(r"(?<=: )_[A-Z]\w*", lambda found: str(known[found[0]]), text)


def _default(value: Any) -> str:
    # A dataclass whose field has a factory shows a marker of its own.
    return "..." if "factory" in repr(value) else repr(value)


def _members(item: Any) -> Iterator[tuple[str, str]]:
    """Public properties and methods that the class itself defines, with the first line of their docs."""
    for name, member in vars(item).items() if inspect.isclass(item) else ():
        if name.startswith("_") or name == "forward":
            continue
        text = (inspect.getdoc(member) or "").partition("\n\n")[0]
        if isinstance(member, property):
            yield name, text
        elif isinstance(member, classmethod) or inspect.isfunction(member):
            yield f"{name}()", text
