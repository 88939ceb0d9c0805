"""Maps that are too small for a module are skipped with that reason, in the dry run as in the run."""

from __future__ import annotations

import pytest

from attn_inject import inject
from attn_inject.errors import FitError
from tests.nets import build


@pytest.mark.parametrize("attention", ["sge", "gc", "a2", "se"])
@pytest.mark.parametrize("start", ["paper", "identity"])
def test_maps_of_one_position(attention, start):
    options = {"input_size": (3, 32, 32), "start": start}
    dry = inject(build("resnet18"), attention, dry_run=True, **options).report
    report = inject(build("resnet18"), attention, **options).report
    skipped = {item.name: item.code for item in report.rejected if item.code == "too-small"}
    assert skipped == {item.name: item.code for item in dry.rejected if item.code == "too-small"}
    assert list(skipped) == (["layer4.0", "layer4.1"] if attention in ("sge", "gc", "a2") else [])
    if skipped:
        with pytest.raises(FitError, match="its map is 1x1, and this module needs 2 positions or more"):
            inject(build("resnet18"), attention, strict=True, **options)
