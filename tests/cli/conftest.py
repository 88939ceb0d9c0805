"""The program in this process, with a stand-in for the API that records its calls."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

import attn_inject
from attn_inject.cli.main import main
from tests.display.look_sample import looked, pruned
from tests.display.samples import (
    differing,
    exported_content,
    fitted,
    resnet_report,
    resnet_stats,
    restored_content,
    saved_content,
    two_sides,
    vit_sites,
)


class Outcome(NamedTuple):
    """What one run of the program left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class FakeApi:
    """Answers with samples; raises `failure` instead if there is one."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.failure: BaseException | None = None
        self.noise = ""
        self.warning = ""

    def _note(self, name: str, *args: Any, **kwargs: Any) -> None:
        self.calls.append((name, args, kwargs))
        if self.noise:
            print(self.noise)
        if self.warning:
            warnings.warn(self.warning, UserWarning, stacklevel=2)
        if self.failure is not None:
            raise self.failure

    def inject(self, *args: Any, **kwargs: Any) -> Any:
        self._note("inject", *args, **kwargs)
        out = kwargs.get("out")
        return SimpleNamespace(report=resnet_report(file=str(out) if out else None), model="the model")

    def find_sites(self, *args: Any, **kwargs: Any) -> Any:
        self._note("find_sites", *args, **kwargs)
        return vit_sites()

    def stats(self, *args: Any, **kwargs: Any) -> Any:
        self._note("stats", *args, **kwargs)
        return resnet_stats()

    def load(self, *args: Any, **kwargs: Any) -> Any:
        self._note("load", *args, **kwargs)
        return "the model"

    def save(self, *args: Any, **kwargs: Any) -> Any:
        self._note("save", *args, **kwargs)

    def export(self, *args: Any, **kwargs: Any) -> Any:
        self._note("export", *args, **kwargs)
        return exported_content()

    def restore(self, *args: Any, **kwargs: Any) -> Any:
        self._note("restore", *args, **kwargs)
        return restored_content()

    def compare(self, *args: Any, **kwargs: Any) -> Any:
        self._note("compare", *args, **kwargs)
        return two_sides()

    def draw_placements(self, *args: Any, **kwargs: Any) -> Any:
        self._note("draw_placements", *args, **kwargs)
        return "<svg/>"

    def diff(self, *args: Any, **kwargs: Any) -> Any:
        self._note("diff", *args, **kwargs)
        return differing()

    def look(self, *args: Any, **kwargs: Any) -> Any:
        self._note("look", *args, **kwargs)
        return looked()

    def prune(self, *args: Any, **kwargs: Any) -> Any:
        self._note("prune", *args, **kwargs)
        return SimpleNamespace(report=pruned(), model="the model")

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        self._note("fit", *args, **kwargs)
        return fitted()

    def describe(self, *args: Any, **kwargs: Any) -> Any:
        self._note("describe", *args, **kwargs)
        return saved_content()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    fake = FakeApi()
    monkeypatch.setattr(attn_inject, "__getattr__", fake.__getattribute__)
    return fake


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def run(*arguments: str) -> Outcome:
        code = main(list(arguments))
        out, err = capsys.readouterr()
        return Outcome(code, out, err)

    return run
