"""`attn-inject zoo`: flags to request, records to text, JSON and exit codes; nothing is converted here."""

from __future__ import annotations

import pytest

from attn_inject.cli.zoo import with_address
from attn_inject.errors import FileError
from attn_inject.zoo.dry_run import DryRun, Planned
from attn_inject.zoo.engine import Failure, Node, Progress, Task
from attn_inject.zoo.jobs import Job
from attn_inject.zoo.record import Record
from tests.cli.test_streams import on_a_terminal

COSTS = {"params": 10, "flops": 20, "activations": 30}


def record(model="timm/a", failure=None, **more):
    result = {"sites": [{}], "rejected": [], "base": COSTS, "delta": COSTS, "result": COSTS}
    about = {"key": "k", "model": model, "attention": ("se",), "placement": "after", "seconds": 1.5}
    if failure:
        return Record(file=f"{model}.se.pt", status="failed", failure=failure, **about, **more)
    return Record(
        file=f"{model}.se.pt", status="done", size=2_000_000, digest="d", result=result, **about, **more
    )


FAILURE = Failure(code="fit", message="It does\nnot fit.", hint="Try another.")


class Stage:
    """Replaces `run` and `preview`; records the request."""

    def __init__(self, monkeypatch):
        self.records = [record("timm/b", reused=True), record()]
        self.zoo = None
        monkeypatch.setattr("attn_inject.zoo.run.run", self.run)
        monkeypatch.setattr("attn_inject.zoo.run.preview", self.preview)

    def run(self, zoo, watcher):
        self.zoo = zoo
        for item in self.records:
            watcher.progress([Progress(task=Task(number=0, work="", payload={}))])
            if isinstance(item, BaseException):
                raise item
            yield item

    def preview(self, zoo, watcher):
        self.zoo = zoo
        [plan] = zoo.entries[0].plans
        job = Job(request=zoo.entries[0].request, plan=plan, file="timm/a.se.pt")
        planned = Planned(job=job, state="changed", params=1000, size=4000, need=10**9)
        node = Node("this machine", 2, 8 * 10**9)
        return DryRun(outputs=(planned,), to_do=(planned,), nodes=(node,), disk_free=10**9)


@pytest.fixture
def stage(monkeypatch):
    return Stage(monkeypatch)


USUAL = ("zoo", "resnet1*", "--attn", "se", "--out-dir", "zoo")


def test_a_line_per_new_model_and_the_sums(program, stage):
    outcome = program(*USUAL)
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines() == [
        "done    timm/a.se.pt  2.000 MB  1.5 s",
        "2 outputs in zoo: 1 done, 1 done before and intact, 0 failed; 4.000 MB",
    ]


def test_a_failure_is_a_line_a_row_and_exit_code_10(program, stage):
    stage.records.append(record("timm/c", FAILURE))
    outcome = program(*USUAL)
    assert outcome.code == 10
    assert "fit         1  timm/c se  It does not fit." in outcome.out
    assert "1 of 3 outputs failed" in outcome.err


def test_json_is_one_document_whatever_failed(program, stage):
    stage.records.append(record("timm/c", FAILURE))
    outcome = program(*USUAL, "--json")
    assert outcome.code == 10
    assert (outcome.document["done"], outcome.document["failed"]) == (2, 1)
    assert outcome.document["outputs"][2]["error"]["code"] == "fit"
    assert "failed  timm/c.se.pt  fit: It does not fit." in outcome.err


def test_quiet_says_errors_only(program, stage):
    assert program(*USUAL, "--quiet")[1:] == ("", "")


@pytest.mark.parametrize(
    ("failure", "code", "told"),
    [(KeyboardInterrupt(), 130, "Interrupted"), (FileError("zoo is full."), 9, "zoo is full")],
)
def test_what_ends_a_run(program, stage, failure, code, told):
    stage.records = [record(), failure]
    outcome = program(*USUAL)
    assert outcome.code == code
    assert told in outcome.err


def test_flags_become_the_request(program, stage):
    flags = "--each-attn se --each-attn sa:groups=4 --placement before-add --stage 3,4 --input-size 128"
    flags += (
        " --model-arg drop=0.1 --jobs 3 --memory-limit 4GB --timeout 10m --retries 0 --discard --fail-fast"
    )
    outcome = program("zoo", "a", "b*", "--out-dir", "zoo", *flags.split(), "--check", "off", "--ray")
    assert outcome.code == 0, outcome.err
    [entry] = stage.zoo.entries
    assert entry.models == ("a", "b*")
    assert [str(plan.attention[0]) for plan in entry.plans] == ["se", "sa:groups=4"]
    assert {(plan.placement, plan.stages, plan.check) for plan in entry.plans} == {
        ("before-add", (3, 4), "off")
    }
    assert entry.request.input_size == (3, 128, 128)
    assert entry.request.model_args == {"drop": 0.1}
    assert entry.timeout == 600
    settings = stage.zoo.settings
    assert (settings.jobs, settings.memory_limit, settings.retries) == (3, 4 * 10**9, 0)
    assert (settings.discard, settings.fail_fast, settings.only_failed) == (True, True, False)
    assert settings.ray == "auto"


def test_a_file_and_flags_together(program, stage, tmp_path):
    path = tmp_path / "zoo.toml"
    path.write_text('models = "a"\nattn = "se"\nout-dir = "there"\nretries = 5\n[[entry]]\nmodels = "b"\n')
    assert program("zoo", str(path), "--retries", "1", "c").code == 0
    assert [entry.models for entry in stage.zoo.entries] == [("c",), ("b",)]
    assert (stage.zoo.settings.out_dir, stage.zoo.settings.retries) == ("there", 1)


def test_a_dry_run_tells_sizes_room_and_machines(program, stage):
    outcome = program(*USUAL, "--dry-run")
    assert "timm/a.se.pt  changed  run    1.000k     4.000 kB       1.000 GB" in outcome.out
    assert "would run 1 of 1 output: about 4.000 kB of disk, 1.000 GB free" in outcome.out
    assert "this machine: 2 at a time, 8.000 GB of memory" in outcome.out
    document = program(*USUAL, "--dry-run", "--json").document
    assert (document["to_do"], document["disk_needed"], document["outputs"][0]["state"]) == (
        1,
        4000,
        "changed",
    )


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("zoo", "--attn", "se", "--out-dir", "z"), 2, "No model is named"),
        (("zoo", "a", "--out-dir", "z"), 2, "No attention module"),
        (("zoo", "a", "--attn", "se"), 2, "--out-dir"),
        (("zoo", "a", "--attn", "sse", "--out-dir", "z"), 3, "'sse'"),
        (("zoo", "a", "--attn", "se", "ela-l", "--out-dir", "z"), 2, "--attn se --attn ela-l"),
        (("zoo", "a.toml", "b.toml"), 2, "two requests"),
        (("zoo", "gone.toml"), 9, "gone.toml"),
        (("zoo", "a", "--attn", "se", "--each-attn", "se", "--out-dir", "z"), 2, "exclude"),
        (("zoo", "a", "--attn", "se", "--out-dir", "z", "--memory-limit", "much"), 2, "--memory-limit"),
        (("zoo", "a", "--attn", "se", "--out-dir", "z", "--name-template", "{modle}"), 2, "{model}"),
    ],
)
def test_mistakes(program, stage, arguments, code, told):
    outcome = program(*arguments)
    assert (outcome.code, stage.zoo) == (code, None)
    assert told in outcome.err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("a --ray", "a --ray auto"),
        ("--ray a", "--ray auto a"),
        ("--ray --jobs 2 a", "--ray auto --jobs 2 a"),
        ("--ray 10.0.0.5:6379 a", "--ray 10.0.0.5:6379 a"),
        ("--ray ray://head:10001", "--ray ray://head:10001"),
        ("--ray auto a", "--ray auto a"),
        ("--ray package.module:factory", "--ray auto package.module:factory"),
    ],
)
def test_ray_with_and_without_an_address(typed, meant):
    assert with_address(typed.split()) == meant.split()


def test_a_terminal_sees_a_bar_and_failures(tmp_path):
    models = [f"tests.zoo.factories:{name}" for name in ("tiny", "plain")]
    folder = str(tmp_path / "zoo")
    shown = on_a_terminal(
        "zoo", *models, "--attn", "se", "--out-dir", folder, "--input-size", "32", "--check", "off"
    )
    assert "━" in shown
    assert "of 2 outputs" in shown
    assert "failed  factory/tests.zoo.factories-plain.se.pt" in shown
    assert "2 outputs in" in shown
