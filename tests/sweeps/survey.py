"""The finder's result for one architecture, as one line of data."""

from __future__ import annotations

import resource
import time
import warnings
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

import attn_inject
from attn_inject import models
from attn_inject.errors import AttnInjectError, FitError, NoSiteError
from attn_inject.operate.load_model import load_model
from attn_inject.sites.finder import find
from attn_inject.sites.findings import Findings
from attn_inject.surgery.placements import INNER, targets
from attn_inject.surgery.placements.target import Target

warnings.simplefilter("ignore")
torch.set_num_threads(1)  # two processes share two cores


def every_architecture() -> list[str]:
    """`timm/NAME` and `torchvision/NAME` for all that are installed."""
    return [f"{source}/{name}" for source, name in models.model_names("*")]


def survey(name: str, *, placements: bool = False) -> dict[str, Any]:
    """Build an architecture without weights and find its blocks.

    Args:
        name: `timm/NAME` or `torchvision/NAME`.
        placements: Whether to try every placement on one block of each class.
    """
    line: dict[str, Any] = {"name": name}
    try:
        began = time.perf_counter()
        loaded = load_model(name, shapes_only=True)
        line["build"] = round(time.perf_counter() - began, 3)
        began = time.perf_counter()
        findings = find(loaded.model, loaded.inputs)
        line["find"] = round(time.perf_counter() - began, 3)
    except AttnInjectError as error:
        return {**line, "failed": error.message}
    except Exception as error:
        return {**line, "crashed": f"{type(error).__name__}: {error}"}
    line["params"] = sum(p.numel() for p in loaded.model.parameters())
    line["sites"] = len(findings.found)
    line["blocks"] = dict(Counter(item.site.block for item in findings.found))
    line["layouts"] = sorted({item.site.layout for item in findings.found})
    line["reason"] = "" if findings.found else _reason(findings)
    if placements:
        line["placements"] = _placements(findings)
    line["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return line


def _reason(findings: Findings) -> str:
    if not findings.rejected:
        return "nothing is added to a shortcut anywhere in it"
    reasons = Counter(item.reason for item in findings.rejected)
    return reasons.most_common(1)[0][0]


def _placements(findings: Findings) -> list[str]:
    """The placements that at least one block of every class takes."""
    firsts = {item.site.block: item for item in reversed(findings.found)}
    works = ["after"] if firsts else []
    for placement in INNER:
        found = [one for item in firsts.values() for one in targets(placement, item, findings.recording)]
        if any(isinstance(one, Target) for one in found):
            works.append(placement)
    return works


def prove(name: str) -> dict[str, Any]:
    """Modify with real weights and an identity start, with all checks, and reopen the file."""
    line: dict[str, Any] = {"name": name}
    began = time.perf_counter()
    with TemporaryDirectory() as folder:
        out = Path(folder) / "model.pt"
        for attention in ("ela-l", "se"):
            try:
                result = attn_inject.inject(name, attention, start="identity", out=out)
            except FitError as error:
                line["failed"] = error.message
                continue
            except NoSiteError:
                line["reason"] = "no residual block"
            except AttnInjectError as error:
                line["failed"] = error.message
            except Exception as error:
                line["crashed"] = f"{type(error).__name__}: {error}"
            else:
                line.pop("failed", None)
                line["attention"] = attention
                line["inserted"] = len(result.sites)
                line["checks"] = [check.name for check in result.report.checks if check.passed]
                line["bytes"] = out.stat().st_size
            break
    line["seconds"] = round(time.perf_counter() - began, 2)
    return line


def merely_build(name: str) -> float:
    """Seconds to build an architecture on meta and do nothing else; what the survey is measured against."""
    import timm
    import torchvision

    source, _, bare = name.partition("/")
    began = time.perf_counter()
    with torch.device("meta"):
        try:
            if source == "timm":
                timm.create_model(bare)
            else:
                torchvision.models.get_model(bare, weights=None, **_no_backbone(bare))
        except (RuntimeError, NotImplementedError, TypeError):
            return float("nan")  # 15 of torchvision's RegNets cannot be built there
    return time.perf_counter() - began


def _no_backbone(name: str) -> dict[str, Any]:
    import inspect

    import torchvision

    builder = torchvision.models.get_model_builder(name)
    return {"weights_backbone": None} if "weights_backbone" in inspect.signature(builder).parameters else {}


def surveyed(name: str) -> dict[str, Any]:
    """One line, placements included."""
    return survey(name, placements=True)


def with_comparison(name: str) -> dict[str, Any]:
    """One line, with the seconds of merely building on meta, in the same process."""
    merely_build(name)
    return {**survey(name), "merely_build": merely_build(name)}
