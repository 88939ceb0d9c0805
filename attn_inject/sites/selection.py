"""Which of the found sites are selected: globs, stages, and modules named by hand.

Globs of sites (`where`, `skip`, `attn`) match whole names, so that `*.0` is the first block of every stage.
Globs of modules (`at`) match by segments, since a module's children have names that begin like its own:
there `*` stays within one segment, and `**` crosses dots.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence

from torch import nn

from attn_inject.errors import NoSiteError, nearest
from attn_inject.request import Plan
from attn_inject.sites.findings import Findings, FoundSite


def match_modules(model: nn.Module, globs: Sequence[str]) -> tuple[str, ...]:
    """Names of the modules that any of `globs` matches.

    Raises:
        NoSiteError: A glob matches none; the nearest names are in the hint.
    """
    names = [name for name, _ in model.named_modules() if name]
    patterns = {glob: _by_segment(glob) for glob in globs}
    for glob, pattern in patterns.items():
        if not any(pattern.fullmatch(name) for name in names):
            deeper = [name for name in names if fnmatch.fnmatchcase(name, glob)]
            close = "; ".join(filter(None, (_crossing(glob, deeper), _nearest(glob, names))))
            raise NoSiteError(f"{glob!r} matches no module of the model.", hint=close)
    return tuple(name for name in names if any(p.fullmatch(name) for p in patterns.values()))


_PIECES = re.compile(r"\*\*\.|\*\*|\*|\?|\[!?\]?[^]]*\]|.", re.DOTALL)
_WILD = {"**.": r"(?:.*\.)?", "**": ".*", "*": "[^.]*", "?": "[^.]"}


def _by_segment(glob: str) -> re.Pattern[str]:
    """A glob of module names: `*` and `?` stay within one segment, `**` crosses dots."""
    pieces = _PIECES.findall(glob)
    return re.compile("".join(_WILD.get(piece) or _literal(piece) for piece in pieces))


def _literal(piece: str) -> str:
    """A set of characters or a single one, as a regular expression."""
    if len(piece) == 1:
        return re.escape(piece)
    inside = piece[1:-1].replace("\\", r"\\")
    return f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"


def _crossing(glob: str, deeper: Sequence[str]) -> str:
    """What to write for a glob that would match if its `*` crossed dots."""
    if not deeper or "**" in glob:
        return ""
    return f"* stays within one segment of a name; {glob.replace('*', '**')!r} matches {deeper[0]}"


def _nearest(glob: str, names: Sequence[str]) -> str:
    return f"The nearest are {', '.join(nearest(glob, names))}."


def select(findings: Findings, plan: Plan) -> tuple[FoundSite, ...]:
    """The sites that a plan keeps.

    Raises:
        NoSiteError: The model has no residual block, or none is left.
    """
    if not findings.found and plan.at:
        first = findings.rejected[0]
        raise NoSiteError(
            f"None of the {len(findings.rejected)} modules named by at (--at) is a site; "
            f"{first.name}, for one: {first.reason}.",
            hint="Name modules that return a map, for example the ends of stages.",
        )
    if not findings.found:
        raise NoSiteError(
            "The model has no residual block, so there is no site.",
            hint=_suggest_at(findings),
        )
    names = [item.site.name for item in findings.found]
    for glob in (*plan.where, *plan.skip, *(spec.where for spec in plan.attention)):
        _require(glob, names, "site")
    stages = {item.site.stage for item in findings.found}
    if missing := set(plan.stages) - stages:
        raise NoSiteError(
            f"The model has no stage {min(missing)}.",
            hint=f"Its stages are 1 to {max(stages)}; a stage is all blocks whose maps have the same size.",
        )
    kept = tuple(item for item in findings.found if _is_kept(item, plan))
    if not kept:
        raise NoSiteError(
            f"None of the {len(names)} sites is left after where, skip, stage and the globs of the attention "
            "(--where, --skip, --stage, --attn).",
            hint="`attn-inject sites MODEL` lists them.",
        )
    return kept


def _is_kept(item: FoundSite, plan: Plan) -> bool:
    name = item.site.name
    if plan.where and not _matches(name, plan.where):
        return False
    if plan.stages and item.site.stage not in plan.stages:
        return False
    return not _matches(name, plan.skip) and any(spec.serves(name) for spec in plan.attention)


def _matches(name: str, globs: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs)


def _require(glob: str, names: Sequence[str], what: str) -> None:
    if not fnmatch.filter(names, glob):
        inside = [name for name in names if name.startswith(f"{glob}.")]
        if inside:
            hint = f"Write '{glob}.*', which matches {inside[0]}" + (" and others." if inside[1:] else ".")
        else:
            hint = _nearest(glob, names)
        raise NoSiteError(f"{glob!r} matches no {what} of the model.", hint=hint)


def _suggest_at(findings: Findings) -> str:
    """Modules whose output is the last map of its size, as `--at` would take them."""
    ends = [name for size, name in findings.recording.maps.items() if min(size) > 1 and "head" not in name]
    names = ends[-4:]
    if not names:
        return "Name modules yourself: at (--at GLOB)."
    example = " --at ".join(names)
    return f"Name modules yourself: at (--at GLOB), for example the ends of its stages, --at {example}."
