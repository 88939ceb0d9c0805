import subprocess
import sys

import pytest
import timm
import torchvision

from attn_inject.errors import FileError, UnknownNameError, UsageError
from attn_inject.models.names import ResolvedName, model_names, resolve

RESOLVED = {
    "test_resnet": ("timm", "test_resnet"),
    "test_resnet.r160_in1k": ("timm", "test_resnet.r160_in1k"),
    "timm/resnet50.a1_in1k": ("timm", "resnet50.a1_in1k"),
    "torchvision/resnet50": ("torchvision", "resnet50"),
    "torchvision/resnet50.IMAGENET1K_V2": ("torchvision", "resnet50.IMAGENET1K_V2"),
    "resnet50.IMAGENET1K_V2": ("torchvision", "resnet50.IMAGENET1K_V2"),
    "swin_t": ("torchvision", "swin_t"),
    "fasterrcnn_resnet50_fpn": ("torchvision", "fasterrcnn_resnet50_fpn"),
    "torchvision/detection/fasterrcnn_resnet50_fpn": ("torchvision", "fasterrcnn_resnet50_fpn"),
    "segmentation/fcn_resnet50": ("torchvision", "fcn_resnet50"),
    "quantized_resnet18": ("torchvision", "quantized_resnet18"),
    "quantization/resnet18": ("torchvision", "quantized_resnet18"),
    "package.module:factory": ("factory", "package.module:factory"),
    "package.module:Class.method": ("factory", "package.module:Class.method"),
}


@pytest.mark.parametrize(("text", "expected"), RESOLVED.items())
def test_a_name_is_looked_up(text, expected):
    assert resolve(text) == ResolvedName(*expected)


def test_a_name_of_both_libraries_means_timm_and_says_so():
    found = resolve("resnet18")
    assert (found.source, found.name) == ("timm", "resnet18")
    assert "timm" in found.note
    assert "'torchvision/resnet18'" in found.note


def test_a_deprecated_timm_name_is_renewed_and_says_so():
    deprecated, current = next(
        (old, new) for old, new in timm.models.get_deprecated_models().items() if new and resolve(new)
    )
    found = resolve(deprecated)
    assert (found.source, found.name) == ("timm", current)
    assert deprecated in found.note
    assert current in found.note


UNKNOWN = {
    "resnt18": ["resnet18"],
    "torchvision/shufflenet_v3_x1_0": ["shufflenet_v2_x1_0", "shufflenet_v2_x2_0"],
    "timm/shufflenet_v2_x1_0": [],
    "fasterrcnn_resnet50_fnp": ["fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2"],
    "test_resnet.r160": ["test_resnet.r160_in1k"],
    "torchvision/resnet50.IMAGENET1K_V3": ["resnet50.IMAGENET1K_V1", "resnet50.IMAGENET1K_V2"],
    "detection/resnet50": ["resnet50"],
    "resnet*": ["resnet"],
    "": [],
}


@pytest.mark.parametrize(("text", "named"), UNKNOWN.items())
def test_an_unknown_name_is_answered_with_the_nearest(text, named):
    with pytest.raises(UnknownNameError) as caught:
        resolve(text)
    for name in named:
        assert name in caught.value.hint


def test_three_nearest_names_come_from_both_libraries():
    with pytest.raises(UnknownNameError) as caught:
        resolve("vit_b_17")
    names = caught.value.hint.partition("Did you mean ")[2].partition("?")[0].split(", ")
    assert len(names) == 3
    assert "vit_b_16" in names
    assert set(names) <= set(timm.list_models()) | set(torchvision.models.list_models())


@pytest.mark.parametrize("text", ["model.pt", "runs/last.pth", "torchvision/model.safetensors"])
def test_a_file_is_no_name(text):
    with pytest.raises(FileError, match="is a file"):
        resolve(text)


@pytest.mark.parametrize("text", [":factory", "module:", "hub:timm/resnet50", "a b:c"])
def test_a_malformed_factory_is_a_usage_error(text):
    with pytest.raises(UsageError, match="does not name a factory"):
        resolve(text)


@pytest.mark.parametrize(
    "text", ["hf-hub:timm/resnet50.a1_in1k", "hf-hub:a/b@main", "local-dir:/some/folder"]
)
def test_a_folder_of_timm_is_recognised_without_reading_it(text):
    assert resolve(text) == ResolvedName("timm", text)


GLOBS = {
    "test_resne?": [("timm", "test_resnet")],
    "swin_[st]": [("torchvision", "swin_s"), ("torchvision", "swin_t")],
    "torchvision/resnet18": [("torchvision", "resnet18")],
    "resnet18": [("timm", "resnet18"), ("torchvision", "resnet18")],
    "test_resnet.*": [("timm", "test_resnet.r160_in1k")],
    "torchvision/resnet18.*": [("torchvision", "resnet18.IMAGENET1K_V1")],
    "no_such_*": [],
}


@pytest.mark.parametrize(("glob", "expected"), GLOBS.items())
def test_a_glob_lists_both_libraries(glob, expected):
    assert model_names(glob) == expected


def test_the_star_lists_everything_by_a_name_that_resolves():
    names = model_names()
    assert {source for source, _ in names} == {"timm", "torchvision"}
    # Other tests may have named modified architectures in this process.
    timms = [n for n in timm.list_models() if timm.model_entrypoint(n).__module__.startswith("timm.")]
    assert [name for source, name in names if source == "timm"] == timms
    assert [name for source, name in names if source == "torchvision"] == torchvision.models.list_models()
    for source, name in names[::50]:
        assert resolve(f"{source}/{name}") == ResolvedName(source, name)


def test_a_torchvision_name_does_not_import_timm():
    program = (
        "import sys; from attn_inject import models; from attn_inject.request import ModelRequest\n"
        "assert not {'timm', 'torchvision'} & sys.modules.keys()\n"
        "models.load(ModelRequest(name='torchvision/squeezenet1_1'), empty=True)\n"
        "assert 'torchvision' in sys.modules and 'timm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
