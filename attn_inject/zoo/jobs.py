"""From a request to outputs: every model that the globs match, with every plan, and their file names."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from attn_inject.errors import AttnInjectError
from attn_inject.request import ModelRequest, Plan, to_dict
from attn_inject.weights import is_address
from attn_inject.zoo.manifest import Zoo, ZooEntry
from attn_inject.zoo.naming import file_name, refuse_same_file

Found = Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One output.

    Attributes:
        request: The model, under an unambiguous name: `timm/resnet18`.
        plan: How it is modified.
        file: Its name, relative to the output folder.
        only: A key of `request.KEPT`, what is saved.
        keep_replaced: Whether replaced tensors are saved, too.
        timeout: Seconds, or None.
        inputs: Digests of its input files, such as its weights.
    """

    request: ModelRequest
    plan: Plan
    file: str
    only: str = "all"
    keep_replaced: bool = False
    timeout: float | None = None
    inputs: tuple[tuple[str, str], ...] = ()

    @cached_property
    def key(self) -> str:
        """Digest of the whole request; equal for equal requests."""
        asked = {"request": to_dict(self.request), "plan": to_dict(self.plan), "inputs": self.inputs}
        kept = {"only": self.only, "keep_replaced": self.keep_replaced, "file": self.file}
        text = json.dumps({**asked, **kept}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def attention(self) -> tuple[str, ...]:
        """The specs as text."""
        return tuple(map(str, self.plan.attention))

    @property
    def label(self) -> str:
        """`timm/resnet18 ela-l`, for people."""
        return f"{self.request.name} {', '.join(self.attention)}"


def make_jobs(zoo: Zoo, found: Mapping[str, Found]) -> list[Job]:
    """Every output of a zoo.

    Args:
        zoo: The request.
        found: The models that each text names, as (source, name).

    Raises:
        UsageError: Two different outputs have the same file name.
    """
    digests: dict[str, str] = {}
    jobs = {
        job.key: job
        for entry in zoo.entries
        for text in entry.models
        for job in _jobs(entry, found[text], digests)
    }
    refuse_same_file((job.file, f"{job.label} ({_wishes(job)})") for job in jobs.values())
    return [*jobs.values()]


def _jobs(entry: ZooEntry, found: Found, digests: dict[str, str]) -> Iterator[Job]:
    for source, name in found:
        full = f"{source}/{name}" if source in ("timm", "torchvision") else name
        request = dataclasses.replace(entry.request, name=full)
        needed = [path for path in (request.weights, name if source == "file" else None) if path]
        for plan in entry.plans:
            yield Job(
                request=request,
                plan=plan,
                file=file_name(entry.template, source, request, plan, entry.format),
                only=entry.only,
                keep_replaced=entry.keep_replaced,
                timeout=entry.timeout,
                inputs=tuple((path, _digest(path, digests)) for path in needed),
            )


def _digest(path: str, known: dict[str, str]) -> str:
    """Of a file's content; "" if there is none, which the conversion reports with a better message.

    What an address names is fetched first, as the conversion would do; the copy is kept for it.
    """
    if path not in known:
        try:
            with open(_local(path), "rb") as file:
                known[path] = hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, ValueError, AttnInjectError):
            known[path] = ""
    return known[path]


def _local(path: str) -> str | Path:
    if not is_address(path):
        return path
    from attn_inject.models.remote import fetched  # imports torch

    return fetched(path)


def _wishes(job: Job) -> str:
    plan = job.plan
    return f"placement {plan.placement}, check {plan.check}, seed {plan.seed}"


def requests(jobs: Iterable[Job]) -> list[ModelRequest]:
    """Every different model, once."""
    by_text = {json.dumps(to_dict(job.request), sort_keys=True): job.request for job in jobs}
    return [*by_text.values()]
