import importlib
import subprocess
import sys
import textwrap

import pytest
from torch import nn

from attn_inject.attention import registry
from attn_inject.errors import (
    AttnInjectError,
    MissingExtraError,
    ModelError,
    UnknownNameError,
    UsageError,
    nearest,
    unknown_name,
)

BUILT_IN = [
    "se", "eca", "ela-t", "ela-b", "ela-s", "ela-l", "ca", "sa", "nam", "nam-channel", "nam-spatial", "cbam",
    "bam", "sge", "tam", "nl", "ge-theta-minus", "ge-theta", "ge-theta-plus", "gc", "scse", "ema", "simam",
    "srm", "a2", "spm", "gam", "ese", "lka", "fca", "danet-position", "danet-channel", "criss-cross", "sk",
    "sasa", "involution", "cot", "epsa", "splat",
]  # fmt: skip

GATE = """
    from torch import nn

    class Gate(nn.Module):
        def __init__(self, channels, *, heads=4):
            super().__init__()

        def forward(self, x):
            return x
"""


@pytest.fixture(autouse=True)
def _fresh_tables():
    """Read the plug-ins again before and after each test."""
    registry.refresh()
    yield
    registry.refresh()


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution with entry points, and optionally a module, for one test."""

    def install(owner: str, points: dict[str, str], module: str = "", source: str = GATE) -> None:
        info = tmp_path / f"{owner.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {owner}\nVersion: 1.0\n")
        lines = [f"{name} = {target}" for name, target in points.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{registry.GROUP}]", *lines]))
        if module:
            (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
            monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()
        registry.refresh()

    return install


def test_lists_the_catalogue_in_its_order():
    assert [entry.name for entry in registry.entries().values() if entry.is_built_in] == BUILT_IN


def test_the_listing_cannot_be_changed_from_outside():
    with pytest.raises(TypeError):
        registry.entries()["mine"] = None


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("se", "se"),
        ("SE", "se"),
        (" ela_l ", "ela-l"),
        ("Ela-L", "ela-l"),
        ("coordinate", "ca"),
        ("Shuffle", "sa"),
        ("NAM_Channel", "nam-channel"),
    ],
)
def test_finds_by_name_alias_and_in_any_spelling(name, found):
    assert registry.find(name).name == found


@pytest.mark.parametrize("name", ["elal", "", "squeeze", "se:8", "mypackage:", ":Class", "a b:C"])
def test_an_unknown_name_is_refused_with_the_nearest(name):
    with pytest.raises(
        UnknownNameError, match=f"There is no attention module called {name!r}. Did you mean"
    ) as e:
        registry.find(name)
    assert e.value.hint.endswith("`attn-inject list attention` lists them all.")


def test_an_unknown_name_names_what_was_probably_meant():
    with pytest.raises(UnknownNameError, match=r"Did you mean ela-l\b"):
        registry.find("elal")


@pytest.mark.parametrize(
    ("glob", "names"),
    [
        ("*", BUILT_IN),
        ("ela-*", BUILT_IN[2:6]),
        ("ELA_?", BUILT_IN[2:6]),
        ("se", ["se"]),
        ("[sc]a", ["ca", "sa"]),
    ],
)
def test_matches_globs(glob, names):
    assert [entry.name for entry in registry.match(glob) if entry.is_built_in] == names


def test_a_glob_that_matches_nothing_is_an_error():
    with pytest.raises(UnknownNameError, match="No attention module matches 'ela-x"):
        registry.match("ela-x*")


def test_a_class_path_needs_no_entry():
    entry = registry.find("torch.nn:Identity")
    assert (entry.name, entry.target, entry.owner) == ("torch.nn:Identity", "torch.nn:Identity", "torch")
    assert not entry.is_built_in


def test_options_of_the_catalogue_need_no_import():
    assert registry.options_of(registry.find("ela-t")) == {
        "kernel_size": 5,
        "groups": "C",
        "num_groups": 32,
        "shared": True,
    }


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("nosuchpackage.gates:Gate", UnknownNameError, "there is no module 'nosuchpackage'"),
        ("torch.nosuchmodule:Gate", UnknownNameError, "there is no module 'torch.nosuchmodule'"),
        ("torch.nn:NoSuchGate", UnknownNameError, "torch.nn has no NoSuchGate"),
        ("collections:OrderedDict", UsageError, "is not a subclass of torch.nn.Module"),
        ("os:getcwd", UsageError, "is not a subclass of torch.nn.Module"),
        ("torch.nn:Sequential", UsageError, r"takes \*args, so its options cannot be listed or checked"),
        ("torch.nn:Identity", UsageError, r"takes \*args"),
        ("torch.nn:Module", UsageError, r"takes \*args"),
    ],
)
def test_what_a_class_path_cannot_lead_to(target, error, message):
    with pytest.raises(error, match=message):
        registry.load(registry.find(target))


def test_an_option_without_a_value_is_told_how_to_be_written():
    with pytest.raises(UnknownNameError, match="there is no module 'se'") as caught:
        registry.load(registry.find("se:reduction"))
    assert caught.value.hint == "For an option of se write se:option=value."


def test_a_name_that_timm_lacks_is_refused():
    with pytest.raises(UnknownNameError, match="timm has no attention module called 'nosuch'"):
        registry.load(registry.find("timm:nosuch"))


def test_a_plug_in_is_listed_found_and_loaded(install):
    install("some-gates", {"my-gate": "some_gates:Gate"}, module="some_gates")
    entry = registry.find("My_Gate")
    assert list(registry.entries()) == [*BUILT_IN, "my-gate"]
    assert (entry.owner, entry.summary) == ("some-gates", "from some-gates")
    assert "some_gates" not in sys.modules, "listing imports no plug-in"
    assert registry.options_of(entry) == {"heads": 4}
    assert issubclass(registry.load(entry), nn.Module)
    assert registry.problems() == []


def test_a_plug_in_is_gone_when_it_is_uninstalled(install, monkeypatch):
    with monkeypatch.context():
        install("some-gates", {"my-gate": "some_gates:Gate"}, module="some_gates")
        assert "my-gate" in registry.entries()
    monkeypatch.undo()
    registry.refresh()
    assert "my-gate" not in registry.entries()


@pytest.mark.parametrize(
    ("name", "target", "reason"),
    [
        ("se", "some_gates:Gate", "attn-inject already has a module called 'se'"),
        ("ELA_L", "some_gates:Gate", "attn-inject already has a module called 'ela-l'"),
        ("coord", "some_gates:Gate", "attn-inject already has a module called 'ca'"),
        ("two words", "some_gates:Gate", "a name holds letters, digits, `-`, `_` and `.` only"),
        ("mine", "some_gates", "its target 'some_gates' is not of the form package.module:Class"),
        ("mine", "nosuchpackage:Gate", "no package 'nosuchpackage' is installed"),
    ],
)
def test_a_plug_in_that_cannot_be_listed_is_left_out_with_a_warning(install, name, target, reason):
    install("some-gates", {name: target}, module="some_gates")
    message = f"The attention module {name!r} of some-gates was left out: {reason}."
    with pytest.warns(registry.PluginWarning) as caught:
        listed = registry.entries()
    assert list(listed) == BUILT_IN
    assert listed["se"].is_built_in
    assert {str(warning.message) for warning in caught} == {message}
    assert [str(problem) for problem in registry.problems()] == [message]


def test_two_plug_ins_of_one_name_are_told_with_both_owners(install):
    install("other-gates", {"my-gate": "other_gates:Gate"}, module="other_gates")
    install("some-gates", {"my_gate": "some_gates:Gate"}, module="some_gates")
    with pytest.warns(
        registry.PluginWarning,
        match="'my_gate' of some-gates .* other-gates already has a module called 'my-gate'",
    ):
        assert registry.find("my-gate").owner == "other-gates"


@pytest.mark.parametrize(
    ("source", "error", "reason"),
    [
        (
            "import nosuchpackage",
            MissingExtraError,
            "my-gate needs the package 'nosuchpackage', which is not",
        ),
        (
            "1 / 0",
            ModelError,
            "cannot be imported from 'some_gates:Gate': ZeroDivisionError: division by zero",
        ),
        ("import sys; sys.exit(0)", ModelError, "cannot be imported from 'some_gates:Gate': SystemExit: 0"),
        ("Gate = (", ModelError, "cannot be imported from 'some_gates:Gate': SyntaxError"),
        ("from torch import nosuchname", ModelError, "ImportError: cannot import name 'nosuchname'"),
        ("", UnknownNameError, "some_gates has no Gate"),
        ("class Gate: pass", UsageError, "some_gates:Gate is not a subclass of torch.nn.Module"),
        (
            GATE.replace("*, heads=4", "**options"),
            UsageError,
            r"The constructor of some_gates:Gate takes \*\*options, so its options cannot be listed",
        ),
        (
            GATE.replace("channels, *", "*"),
            UsageError,
            "The constructor of some_gates:Gate does not take the number of channels",
        ),
    ],
)
def test_a_plug_in_that_cannot_be_loaded_says_why_and_harms_no_other(install, source, error, reason):
    install("some-gates", {"my-gate": "some_gates:Gate"}, module="some_gates", source=source)
    with pytest.raises(error, match=reason) as caught:
        registry.load(registry.find("my-gate"))
    assert isinstance(caught.value, AttnInjectError)
    assert [(problem.name, problem.owner) for problem in registry.problems()] == [("my-gate", "some-gates")]
    assert registry.load(registry.find("se")).__name__ == "SE"


def test_listing_imports_no_torch():
    code = """
        import sys
        from attn_inject.attention import registry
        names = [entry.name for entry in registry.match("*")]
        registry.find("ela-l"), registry.find("timm:se"), registry.find("torch.nn:Identity")
        options = [registry.options_of(entry) for entry in registry.entries().values() if entry.is_built_in]
        heavy = {"torch", "timm", "torchvision", "fvcore", "numpy"} & set(sys.modules)
        print(len(names), len(options), sorted(heavy))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    names, options, heavy = done.stdout.split(maxsplit=2)
    assert int(names) >= int(options) == len(BUILT_IN)
    assert heavy.strip() == "[]"


def test_what_begins_with_the_whole_name_is_the_nearest():
    known = ["gcvit_tiny", "vit_tinyer", "vit_tiny_patch16_224", "vit_tiny_r_s16", "davit_tiny"]
    assert nearest("vit_tiny", known)[:2] == ["vit_tiny_r_s16", "vit_tiny_patch16_224"]
    assert len(nearest("vit_tiny", known)) == 3


def test_a_glob_that_matches_nothing_is_no_typing_error():
    error = unknown_name("model", "nothing_*", ["resnet18"], see="attn-inject list models")
    assert error.message == "No model matches 'nothing_*'."
