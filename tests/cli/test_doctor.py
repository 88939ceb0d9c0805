"""The diagnosis of made-up installations, and one real one."""

from __future__ import annotations

import importlib.metadata
import sys
import textwrap
from email.message import Message

import pytest

from attn_inject.cli import diagnosis
from attn_inject.cli.attempt import PLUGINS

MISMATCH = "RuntimeError: operator torchvision::nms does not exist"
HEALTHY = dict.fromkeys(diagnosis.LIBRARIES, "") | {PLUGINS: []}
VERSIONS = {
    "attn-inject": "0.1.0",
    "torch": "2.15.0+cpu",
    "torchvision": "0.29.2",
    "timm": "1.0.31",
    "fvcore": "0.1.5.post20221221",
    "safetensors": "0.8.0",
}
REQUIRES = [
    "torch>=2.6",
    "torchvision>=0.21",
    "timm>=1.0.20",
    "fvcore>=0.1.5.post20221221",
    "safetensors>=0.4",
    "onnx>=1.16; extra == 'onnx'",
    "onnxruntime; extra == 'onnx'",
    "not-for-here; sys_platform == 'no-system'",
]
EXTRAS = Message()
EXTRAS["Provides-Extra"] = "onnx"


@pytest.fixture
def installation(monkeypatch):
    """Call it with what differs from a healthy installation."""

    def install(found: dict[str, object] | None = None, versions: dict[str, str] | None = None) -> None:
        installed = VERSIONS | (versions or {})

        def version(name: str) -> str:
            if not installed.get(name):
                raise importlib.metadata.PackageNotFoundError(name)
            return installed[name]

        monkeypatch.setattr(importlib.metadata, "version", version)
        monkeypatch.setattr(importlib.metadata, "requires", lambda name: REQUIRES)
        monkeypatch.setattr(importlib.metadata, "metadata", lambda name: EXTRAS)
        monkeypatch.setattr(diagnosis, "attempts", lambda names: HEALTHY | (found or {}))

    return install


def test_all_is_well(program, installation):
    installation()
    outcome = program("doctor")
    assert (outcome.code, outcome.err) == (0, "")
    assert "attn-inject 0.1.0" in outcome.out
    assert "torch        2.15.0+cpu" in outcome.out
    assert "pip install 'attn-inject[onnx]'" in outcome.out
    assert outcome.out.endswith("Every library can be imported.\n")


def test_a_mismatch_names_both_libraries_once(program, installation):
    installation({"torchvision": MISMATCH, "timm": MISMATCH})
    outcome = program("doctor")
    assert outcome.code == 4
    assert outcome.out.count("torchvision::nms") == 2
    assert outcome.out.count("pip install --force-reinstall torch torchvision") == 1


def test_one_cause_has_one_remedy(program, installation):
    installation(dict.fromkeys(("torch", "torchvision", "timm"), "OSError: libcudart.so"))
    outcome = program("doctor")
    assert outcome.out.count("OSError") == 3
    assert outcome.out.endswith("To repair it:\n  pip install --force-reinstall torch\n")


@pytest.mark.parametrize(
    ("found", "versions", "problem", "remedy"),
    [
        ({"timm": "ImportError: x"}, {}, "ImportError: x", "pip install --force-reinstall timm"),
        ({"torch": "OSError: libcudart.so"}, {}, "libcudart", "pip install --force-reinstall torch"),
        ({"fvcore": "ModuleNotFoundError"}, {"fvcore": ""}, "not installed", "pip install fvcore"),
        ({}, {"timm": "1.0.9"}, "older than 1.0.20", "pip install --upgrade 'timm>=1.0.20'"),
        ({}, {"timm": "built-by-me"}, "older than 1.0.20", "pip install --upgrade 'timm>=1.0.20'"),
        (
            {},
            {"fvcore": "0.1.5"},
            "older than 0.1.5.post20221221",
            "pip install --upgrade 'fvcore>=0.1.5.post20221221'",
        ),
        ({}, {"torch": "2.5.1+cu121"}, "older than 2.6", "pip install --upgrade 'torch>=2.6'"),
    ],
)
def test_each_problem_has_its_remedy(program, installation, found, versions, problem, remedy):
    installation(found, versions)
    outcome = program("doctor", "--json")
    assert outcome.code == 4
    [broken] = [item for item in outcome.document["libraries"] if item["problem"]]
    assert problem in broken["problem"]
    assert broken["remedy"] == remedy
    assert outcome.document["healthy"] is False


def test_broken_plugins_are_listed_and_are_no_failure(program, installation):
    installation({PLUGINS: [["my-gate", "my-package", "no package 'gone' is installed"]]})
    outcome = program("doctor")
    assert outcome.code == 0
    assert "my-gate" in outcome.out
    assert "no package 'gone'" in outcome.out


def test_plugins_that_end_the_process_are_told(program, installation):
    installation({PLUGINS: "importing it ended the process, or did not end"})
    assert "importing it ended the process, or did not end" in program("doctor").out


def test_a_library_that_ends_the_process_does_not_hide_the_next(tmp_path, monkeypatch):
    for name, body in {
        "dies": "import os; os._exit(3)",
        "raises": "raise RuntimeError('no')",
        "talks": 'print(\'["raises", ""]\')',
        "quits": "raise SystemExit",
    }.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(body))
    monkeypatch.syspath_prepend(str(tmp_path))
    found = diagnosis.attempts(["talks", "dies", "raises", "quits", PLUGINS])
    assert found == {
        "talks": "",
        "dies": "importing it ended the process, or did not end",
        "raises": "RuntimeError: no",
        "quits": "SystemExit: ",
        PLUGINS: [],
    }


def test_an_import_without_end_is_given_up(tmp_path, monkeypatch):
    (tmp_path / "sleeps.py").write_text("import time; time.sleep(60)")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(diagnosis, "_PATIENCE", 1)
    assert diagnosis.attempts(["sleeps"]) == {"sleeps": "importing it ended the process, or did not end"}


def test_python_that_does_not_start_is_told(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert diagnosis.attempts(["torch"]) == {"torch": "Python could not be started to import it"}


def test_this_installation(program):
    outcome = program("doctor", "--json")
    assert outcome.code == 0
    assert all(library["version"] for library in outcome.document["libraries"])


def test_a_real_mismatch(program, tmp_path, monkeypatch):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(str(tmp_path))
    outcome = program("doctor", "--json")
    assert outcome.code == 4
    broken = {item["name"]: item["remedy"] for item in outcome.document["libraries"] if item["problem"]}
    assert broken == dict.fromkeys(("torchvision", "timm"), diagnosis.MATCHING_BUILDS)


@pytest.mark.parametrize("version", ["2.6", "2.6.0+cpu", "2.10.0", "3.0.0.dev20260101"])
def test_what_is_new_enough_is_no_problem(program, installation, version):
    installation({}, {"torch": version})
    assert program("doctor").code == 0


def test_an_extra_tells_what_it_lacks_and_what_is_for_another_system_is_not_asked(program, installation):
    installation({}, {"onnx": "1.17.0"})
    assert program("doctor", "--json").document["extras"] == [{"name": "onnx", "missing": ["onnxruntime"]}]
    assert [(need.name, need.oldest, need.extra) for need in diagnosis._needs()][-2:] == [
        ("onnx", "1.16", "onnx"),
        ("onnxruntime", "", "onnx"),
    ]
