"""What becomes of one model: its sites, its rejections, and whether it is still the same model."""

from __future__ import annotations

import copy
import fnmatch
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from attn_inject import AttnInjectError, find_sites, inject, load, remove, save
from tests.corpus import proof
from tests.corpus.case import Case, Place, by_place
from tests.corpus.per_position import PerPosition

ATTENTION = "se"
CHECK_FAILED = 8  # the exit code of a check that failed
Tell = Callable[[dict[str, Any]], None]


class StepEndedError(Exception):
    """A step ended early and has told why; what builds on it cannot be tried."""


def examine(case: Case, tell: Tell) -> None:
    """Build a model, find its sites, insert, save, reopen and remove; tell each fact as soon as it is known.

    What is told first survives a crash in what comes after. The facts are those that `judge` reads.
    """
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tell({"step": "build"})
    try:
        model, example = case.build(), case.example()
        proof.randomize(model)
        tell({"params": sum(p.numel() for p in model.parameters())})
        plain = copy.deepcopy(model)
        expected = proof.outputs(plain, example, training=False)
        tell({"finite": proof.is_finite(expected), "places": list(map(asdict, case.places(model)))})
    except Exception as error:
        tell({"not_run": _where(error)})
        return
    with suppress(StepEndedError):
        with _telling(tell, "find"):
            sites = find_sites(model, example_input=proof.clone(example))
            _tell_sites(tell, model, sites, case.places(model))
        if sites.sites:
            attention = PerPosition if all(site.ordered for site in sites.sites) else ATTENTION
            _prove(tell, model, plain, (example, expected), attention)
    tell({"step": "done"})


def _tell_sites(tell: Tell, model: nn.Module, sites: Any, places: Sequence[Place]) -> None:
    kinds = {name: type(module).__name__ for name, module in model.named_modules()}
    labels = [f"{site.name}:{site.block}" for site in sites.sites]
    found, elsewhere = by_place(labels, places)
    rejected = {f"{item.name}:{kinds.get(item.name, '')}:{item.code}": item.reason for item in sites.rejected}
    refusals = [
        [reason for label, reason in rejected.items() if fnmatch.fnmatchcase(label, place.refusal)]
        for place in places
    ]
    tell(
        {
            "sites": len(labels),
            "labels": labels,
            "classes": dict(Counter(site.block for site in sites.sites)),
            "found": found,
            "elsewhere": elsewhere,
            "refusals": [list(dict.fromkeys(reasons)) for reasons in refusals],
            "rejections": dict(Counter(str(item.code) for item in sites.rejected).most_common()),
        }
    )


def _prove(
    tell: Tell,
    model: nn.Module,
    plain: nn.Module,
    run: tuple[Any, list[torch.Tensor]],
    attention: str | type[nn.Module],
) -> None:
    """Insert with the identity start; every difference from the untouched model is told, "" for none.

    Args:
        tell: Takes facts.
        model: The untouched model.
        plain: A copy of it that has run once in eval mode; some models write into themselves there.
        run: Its input, and what it gave for that.
        attention: What to insert.
    """
    example, expected = run
    with _telling(tell, "insert"):
        result = _inserted(model, example, attention, tell)
        ours = proof.outputs(result.model, example, training=False)
        tell({"identity_eval": proof.difference(ours, expected)})
    with _telling(tell, "reload"), TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt"
        save(result, path)
        reopened = load(path, base=copy.deepcopy(model), trust=True)
        ours = proof.outputs(reopened, example, training=False)
        tell({"reload": proof.difference(ours, expected)})
    with _telling(tell, "remove"):
        removed = remove(reopened)
        ours = proof.outputs(removed, example, training=False)
        tell({"remove": proof.difference(ours, expected) or proof.state_difference(plain, removed)})
    with _telling(tell, "train"):
        theirs = proof.outputs(plain, example, training=True)
        ours = proof.outputs(result.model, example, training=True)
        tell(
            {"identity_train": proof.difference(ours, theirs) or proof.state_difference(result.model, plain)}
        )


def _inserted(model: nn.Module, example: Any, attention: str | type[nn.Module], tell: Tell) -> Any:
    """Insert with all checks; where one fails, say so and insert without them, to see for ourselves."""
    how: dict[str, Any] = {"start": "identity", "example_input": proof.clone(example)}
    try:
        return inject(model, attention, **how)
    except AttnInjectError as error:
        if error.exit_code != CHECK_FAILED:
            raise
        tell({"checks": str(error)})
        return inject(model, attention, check="off", **how)


@contextmanager
def _telling(tell: Tell, step: str) -> Iterator[None]:
    """Name the step, and tell what ends it: a "no" of ours is a refusal, anything else is a crash."""
    tell({"step": step})
    try:
        yield
    except AttnInjectError as error:
        tell({f"{step}_refused": f"{type(error).__name__}: {error}"})
        raise StepEndedError from error
    except Exception as error:
        tell({f"{step}_crash": _where(error)})
        raise StepEndedError from error


def _where(error: Exception) -> str:
    """The error with the last line of code that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    last = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}{last}"
