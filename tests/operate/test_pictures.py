"""Pictures of placements, against the blocks that the placements make."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

import attn_inject
from attn_inject.block_graph import BlockGraph
from attn_inject.errors import NoSiteError
from attn_inject.operate.pictures import DRAWN, placement_graphs


@pytest.fixture(scope="module")
def graphs():
    return {graph.title: graph for graph in placement_graphs("test_resnet", site="layer3.0")}


def labels(graph: BlockGraph) -> list[str]:
    return [step.label for step in graph.steps]


def neighbours(graph: BlockGraph) -> tuple[list[str], list[str]]:
    """What attention takes, and what takes it."""
    names = {step.name: step.label for step in graph.steps}
    [attention] = [step for step in graph.steps if step.kind == "attention"]
    users = [step.label for step in graph.steps if attention.name in step.inputs]
    return [names[name] for name in attention.inputs], users


def test_a_block_as_it_is(graphs):
    plain = graphs["layer3.0, Bottleneck"]
    convolutions = ["conv 1x1", "norm", "act", "conv 3x3", "norm", "act", "conv 1x1", "norm"]
    assert labels(plain) == ["x", *convolutions, "projection", "+", "act", "y"]
    assert not any(step.kind == "attention" for step in plain.steps)


@pytest.mark.parametrize(
    ("placement", "taken", "users"),
    [
        ("after", "act", "y"),
        ("before-add", "norm", "+"),
        ("before-block", "x", "conv 1x1"),
        ("on-shortcut", "projection", "+"),
        ("after-conv", "act", "conv 1x1"),
        ("before-norm", "conv 3x3", "norm"),
        ("replace-conv", "act", "norm"),
    ],
)
def test_attention_stands_where_the_placement_says(graphs, placement, taken, users):
    assert neighbours(graphs[placement]) == ([taken], [users])
    others = [label for label in labels(graphs[placement]) if label != "attention"]
    expected = labels(graphs["layer3.0, Bottleneck"])
    if placement == "replace-conv":
        expected.remove("conv 3x3")
    assert others == expected


def test_own_attention_is_replaced():
    plain, replaced = placement_graphs(
        "mobilenetv3_small_100", site="blocks.2.1", placements=("replace-attention",)
    )
    assert "own attention" in labels(plain)
    assert labels(replaced) == [label.replace("own attention", "attention") for label in labels(plain)]


def test_the_svg_shows_every_step_once_inside_its_frame(graphs):
    root = ElementTree.fromstring(attn_inject.draw_placements("test_resnet", site="layer3.0"))
    texts = [item.text for item in root.iter() if item.tag.endswith("}text")]
    expected = [text for graph in graphs.values() for text in (graph.title, *labels(graph))]
    assert sorted(texts) == sorted(expected)
    *_, width, height = map(float, root.get("viewBox").split())
    rectangles = [item for item in root.iter() if item.tag.endswith("}rect")]
    for item in rectangles:
        right = float(item.get("x", 0)) + float(item.get("width"))
        assert right <= width
        assert float(item.get("y", 0)) + float(item.get("height")) <= height
    boxes = [tuple(float(r.get(k)) for k in ("x", "y", "width")) for r in rectangles if r.get("x")]
    for x, y, w in boxes:
        assert not [b for b in boxes if b[1] == y and x < b[0] < x + w]


def test_the_commonest_block_is_drawn_and_unknown_ones_are_named():
    assert "layer1.0, BasicBlock" in attn_inject.draw_placements("test_resnet", placements=("after",))
    with pytest.raises(NoSiteError, match=r"layer3\.0"):
        attn_inject.draw_placements("test_resnet", site="layer3")
    with pytest.raises(NoSiteError, match="no residual block"):
        attn_inject.draw_placements("vgg11")
    assert "paper" not in DRAWN
