from __future__ import annotations

from pathlib import Path

from attn_inject.display.page import for_pipe
from attn_inject.display.saved_page import exported_page
from tests.display.samples import exported_content


def test_the_page(program, api):
    outcome = program(
        "export", "m.pt", "--out", "m.onnx", "--input-size", "96", "--batch-size", "4", "--trust"
    )
    options = {"format": "", "batch_size": 4, "input_size": (3, 96, 96), "trust": True, "force": False}
    assert api.calls == [("export", (Path("m.pt"), Path("m.onnx")), options)]
    assert outcome.out == (
        "exported m.pt as onnx, for any batch size\n"
        "max |difference| to the model 1.2e-06 (largest output 4.57) on 5 images\n"
        "top-1 agreement 5 of 5\n\n"
        "saved m.onnx, 102.5 MB\n"
    )


def test_the_page_without_figures_and_without_classes():
    none = exported_content(samples=None, difference=None, largest=None, top1=None, format="safetensors")
    assert for_pipe(exported_page("m.pt", none)).startswith("wrote m.pt as safetensors, tensors and recipe\n")
    fixed = for_pipe(exported_page("m.pt", exported_content(top1=None, batch_size=1)))
    assert "for a batch of 1" in fixed
    assert "top-1" not in fixed


def test_a_folder_for_the_hub_has_its_own_page(program, api):
    outcome = program("export", "m.pt", "--out", "f", "--format", "hub")
    assert api.calls[0][2]["format"] == "hub"
    assert outcome.code == 0
    page = for_pipe(exported_page("m.pt", exported_content(format="hub", file="f", samples=None)))
    assert page == "wrote m.pt as a folder for the Hugging Face Hub, with a card\n\nsaved f, 102.5 MB\n"


def test_the_document_is_what_export_returns(program, api):
    assert program("export", "m.pt", "--out", "m.onnx", "--json").document == exported_content()
    assert program("export", "m.pt", "--out", "m.onnx", "--quiet").out == ""


def test_without_a_target_nothing_would_be_kept(program, api):
    outcome = program("export", "m.pt")
    assert (outcome.code, api.calls) == (2, [])
    assert "Add --out FILE" in outcome.err
