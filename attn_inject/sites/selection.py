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
    matched: set[str] = set()
    for glob in globs:
        found = _matched(glob, names)
        matched.update(found)
        if not found:
            deeper = [name for name in names if fnmatch.fnmatchcase(name, glob)]
            close = "; ".join(filter(None, (_crossing(glob, deeper), _nearest(glob, names))))
            raise NoSiteError(f"{glob!r} matches no module of the model.", hint=close)
    return tuple(name for name in names if name in matched)


_PIECES = re.compile(r"\*\*\.|\*\*|\*|\?|\[!?\]?[^]]*\]|.", re.DOTALL)


def _matched(glob: str, names: Iterable[str]) -> list[str]:
    """The names that a glob matches if `*` and `?` stay within one segment, and `**` crosses dots."""
    pieces: list[str] = []
    for piece in _PIECES.findall(glob):
        # Repeated, a star matches the same.
        if not (piece.startswith("*") and pieces[-1:] == [piece]):
            pieces.append(piece)
    return [name for name in names if _is_matched(pieces, name)]


def _is_matched(pieces: Sequence[str], name: str) -> bool:
    """Whether the pieces match a whole name: a regular expression of many stars may take for ever."""
    ends = {0}
    for piece in pieces:
        ends = {end for start in ends for end in _ends(piece, name, start)}
        if not ends:
            return False
    return len(name) in ends


def _ends(piece: str, name: str, start: int) -> Iterable[int]:
    """Where one piece of a glob may end that begins at `start`."""
    if piece == "**":
        return range(start, len(name) + 1)
    if piece == "**.":
        return (start, *(end for end in range(start + 1, len(name) + 1) if name[end - 1] == "."))
    if piece == "*":
        dot = name.find(".", start)
        return range(start, (len(name) if dot < 0 else dot) + 1)
    if start == len(name) or (piece == "?" and name[start] == "."):
        return ()
    return (start + 1,) if fnmatch.fnmatchcase(name[start], piece) else ()


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
