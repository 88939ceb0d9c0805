"""Maps that are too small for a module are skipped with that reason, in the dry run as in the run."""

from __future__ import annotations

import pytest

from attn_inject import inject
from attn_inject.errors import FitError
from tests.nets import build

FEWEST = {"sge": 2, "gc": 2, "a2": 2, "nl": 10, "nl:pool=false": 2, "se": 1}
POSITIONS = {"layer3": 4, "layer4": 1}


@pytest.mark.parametrize("attention", FEWEST)
@pytest.mark.parametrize("start", ["paper", "identity"])
def test_maps_of_one_position(attention, start):
    options = {"input_size": (3, 32, 32), "start": start}
    base = build("test_resnet")
    dry = inject(base, attention, dry_run=True, **options).report
    report = inject(base, attention, **options).report
    skipped = {item.name: item.code for item in report.rejected if item.code == "too-small"}
    assert skipped == {item.name: item.code for item in dry.rejected if item.code == "too-small"}
    fewest = FEWEST[attention]
    small = [stage for stage, positions in POSITIONS.items() if positions < fewest]
    assert list(skipped) == [f"{stage}.0" for stage in small]
    if skipped:
        with pytest.raises(FitError, match=f"this module needs {fewest} positions or more"):
            inject(base, attention, strict=True, **options)
