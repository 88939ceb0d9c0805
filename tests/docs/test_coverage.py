"""The manual leaves nothing out: commands, names, exit codes, JSON keys, links."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib

import pytest

import attn_inject
from attn_inject import results
from attn_inject.cli.boundary import EXIT_CODES
from attn_inject.cost import figures
from attn_inject.cost.budget import Fit
from attn_inject.cost.comparison import Comparison, Inserted, Side
from attn_inject.cost.cost import Cost
from attn_inject.difference import BlockState, ChangedBlock, Difference, InsertedHere, Reshaped
from attn_inject.insight import pruned, seen
from attn_inject.request import ModelRequest, Plan, as_specs
from attn_inject.sites.site import RejectionCode
from attn_inject.zoo.dry_run import DryRun, Planned
from attn_inject.zoo.engine import Failure, Node
from attn_inject.zoo.jobs import Job
from attn_inject.zoo.record import Record
from attn_inject.zoo.rows import index_document
from tests.docs.pages import MANUAL, README, ROOT, blocks, by_hand, name_of, pages
from tests.docs.writers.cli import commands, examples
from tests.docs.writers.words import error_classes

WRITTEN_BY_HAND = "\n".join(by_hand(page) for page in pages())


@pytest.mark.parametrize("name", commands())
def test_every_command_is_shown_at_work_and_has_help_and_examples(name):
    command = commands()[name]
    assert command.help
    assert f"attn-inject {'' if name == 'inject' else f'{name} '}" in examples(command)
    others = "list|show|diff|sites|stats|fit|export|push|restore|look|prune|zoo|doctor"
    typed = rf"^(\$ )?attn-inject {f'(?!{others})' if name == 'inject' else name}"
    assert re.search(typed, WRITTEN_BY_HAND, re.MULTILINE), f"no page types attn-inject {name}"


def test_every_public_name_has_an_entry():
    reference = (MANUAL / "reference" / "python.md").read_text(encoding="utf-8")
    missing = [
        name for name in attn_inject.__all__ if not name.startswith("_") and f"### `{name}`" not in reference
    ]
    assert missing == []
    assert "`attn_inject.__version__`" in reference


def test_every_name_of_the_glossary_is_in_the_code():
    page = (MANUAL / "concepts" / "glossary.md").read_text(encoding="utf-8")
    cells = re.findall(r"\| ([^|]*)\|$", page, re.MULTILINE)
    names = [name.rpartition(".")[2] for cell in cells for name in re.findall(r"`([\w.]+)`", cell)]
    code = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "attn_inject").rglob("*.py"))
    assert len(names) > 30
    assert [name for name in names if not re.search(rf"^ *(class|def) {name}\b|^ +{name}:", code, re.M)] == []


def test_every_exit_code_has_a_row():
    page = (MANUAL / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    rows = {int(found) for found in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert rows == set(EXIT_CODES) == {0, *(error.exit_code for error in error_classes())}


def keys_of(value: object) -> set[str]:
    if isinstance(value, dict):
        return {str(key) for key in value} | {key for item in value.values() for key in keys_of(item)}
    return {key for item in value for key in keys_of(item)} if isinstance(value, list) else set()


def zoo_documents() -> list[object]:
    """Of `zoo --json`, `zoo --dry-run --json`, and a line of a ledger."""
    failure = Failure(code="", message="")
    about = {"key": "", "file": "", "model": "", "attention": (), "placement": "", "status": "failed"}
    record = Record(**about, failure=failure)
    job = Job(request=ModelRequest(name=""), plan=Plan(attention=as_specs("se")), file="")
    planned = (Planned(job=job, state="new"),)
    dry_run = DryRun(outputs=planned, to_do=planned, nodes=(Node("", 1, 1),), disk_free=None)
    index = {**index_document([record]), "versions": {}}
    return [index, dry_run.to_json(), record.to_json()]


def look_document() -> object:
    figures = {"mean": 0.0, "std": 0.0, "near_0": 0.0, "near_1": 0.0, "constant": None, "class_spread": None}
    gate = seen.GateSeen(name="", **figures, by_class={}, histogram=())
    where = {"site": "", "module": "", "attention": "", "placement": ""}
    site = seen.SiteSeen(**where, alpha=None, change=None, contribution=None, gates=(gate,))
    about = {"model": "", "images": 1, "classes": (), "preprocessing": "", "base": "", "verdict": ()}
    seconds = dict.fromkeys(("plain", "watched", "base", "bypassed"), 0.0)
    shares = {"agreement": None, "divergence": None}
    return json.loads(json.dumps(seen.Look(**about, **shares, sites=(site,), seconds=seconds).to_json()))


def prune_document() -> object:
    step = pruned.Step(site="", module="", contribution=None, divergence=None, agreement=None)
    about = {"model": "", "bound": "", "images": 0, "preprocessing": "", "kept": (), "next": step}
    report = pruned.PruneReport(**about, steps=(step,), before=Cost(), after=Cost())
    return json.loads(json.dumps(report.to_json()))


def test_every_key_of_the_documents_of_inject_sites_and_stats_is_explained():
    page = (MANUAL / "reference" / "json.md").read_text(encoding="utf-8")
    site = results.Site(name="", block="", layout="", channels=1, height=1, width=1)
    report = results.Report(
        model="",
        source="",
        attention=(),
        placement="",
        start="",
        input_size=None,
        insertions=(results.Insertion(site=site, attention="", module=""),),
        rejected=(results.Rejection(name="", code=RejectionCode.INNER, reason=""),),
        checks=(results.Check(name="", passed=True),),
    )
    one = figures.SiteCost(
        site=site, attention="", params=0, flops=0, activations=0, gate_operations=0, gate_bytes=0
    )
    timing = figures.Timing(median=1, low=1, high=1, repetitions=1)
    row = figures.StatsRow(
        model="", source="", attention=None, placement=None, latency=timing, per_site=(one,)
    )
    stats = figures.Stats(rows=(row,)).to_json(figures.MORE, per_site=True)
    inserted = Inserted(module="", attention="", placement="", figures=Cost())
    side = Side(model="", source="", figures=Cost(), inserted=(inserted,))
    compared = Comparison(a=side, b=side).to_json()
    here = InsertedHere(module="", attention="", placement="", start="")
    state = BlockState(block="", forward="", base_forward="", inserted=(here,))
    block = ChangedBlock(name="", a=state, b=None)
    shaped = (Reshaped(key="", a=(), b=()),)
    costs = Comparison(a=side, b=side)
    differs = Difference(costs=costs, blocks=(block,), added=(), removed=(), reshaped=shaped)
    fit = Fit(
        model="",
        source="",
        attention="",
        placement="",
        budget="",
        sites=(),
        candidates=(),
        base=results.Cost(),
        result=results.Cost(),
    ).to_json()
    documents = [
        *zoo_documents(),
        report.to_json(),
        stats,
        compared,
        differs.to_json(),
        look_document(),
        prune_document(),
        fit,
        {"command": ""},
        dataclasses.asdict(site),
    ]
    explained = set(re.findall(r"`(\w+)`", page))
    assert keys_of(documents) - explained == set()


def test_the_readme_has_two_set_up_commands_and_each_stands_alone():
    commands = [block.text.strip() for block in blocks(README) if block.language == "bash"]
    assert len(commands) == 2
    assert all("\n" not in command for command in commands)
    assert commands[0].startswith("pip install . && attn-inject ")
    assert commands[1].endswith(" && pytest")


def test_the_readme_tells_the_oldest_versions_that_the_installation_accepts():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = dict(re.fullmatch(r"([\w-]+)>=([\w.]+)", need).groups() for need in project["dependencies"])
    text = README.read_text(encoding="utf-8")
    for name in ("torch", "torchvision", "timm"):
        assert f"{name} {oldest[name]}" in text
    assert f"Python {project['requires-python'].removeprefix('>=')}" in text


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_within_the_repository_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_readme_reaches_its_first_command_at_once():
    assert next(blocks(README)).line <= 20
