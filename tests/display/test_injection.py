"""What the report says in words; its layout is in the golden files."""

from __future__ import annotations

import pytest

from attn_inject.display.injection_page import injection_page, insertion_grid
from attn_inject.display.page import for_pipe
from attn_inject.display.rejections import rejection_grid
from attn_inject.sites.site import Rejection, RejectionCode
from tests.display.samples import awkward_report, resnet_report


def text(report, **options):
    return for_pipe(injection_page(report, **options))


@pytest.mark.parametrize(
    ("report", "dry_run", "headline"),
    [
        (resnet_report(), False, "inserted 16 modules at 16 sites of resnet50 (timm), skipped 0"),
        (resnet_report(file=None), True, "would insert 16 modules at 16 sites of resnet50 (timm), skipped 0"),
        (awkward_report(), False, "inserted 2 modules at 2 sites of package.module:"),
    ],
)
def test_the_first_line_counts(report, dry_run, headline):
    assert text(report, dry_run=dry_run).startswith(headline)


def test_two_modules_at_one_site_are_one_site():
    report = resnet_report()
    twice = resnet_report(insertions=(*report.insertions, report.insertions[-1]))
    assert text(twice).startswith("inserted 17 modules at 16 sites")


@pytest.mark.parametrize(
    ("report", "dry_run", "ending"),
    [
        (resnet_report(), False, "saved model.pt\n"),
        (resnet_report(file=None), True, "nothing was saved (--dry-run)\n"),
    ],
)
def test_the_last_line_says_what_was_kept(report, dry_run, ending):
    assert text(report, dry_run=dry_run).endswith(ending)


def test_only_neighbours_alike_share_a_row():
    insertions = resnet_report().insertions
    assert [row[:2] for row in insertion_grid(insertions).rows] == [
        ("layer1.0 .. layer1.2", "3"),
        ("layer2.0 .. layer2.3", "4"),
        ("layer3.0 .. layer3.5", "6"),
        ("layer4.0 .. layer4.2", "3"),
    ]
    mixed = [insertions[0], insertions[3], insertions[1]]
    assert [row[0] for row in insertion_grid(mixed).rows] == ["layer1.0", "layer2.0", "layer1.1"]


def test_verdicts_are_words():
    assert "outputs  FAILED  logits[0, 3] is nan" in text(awkward_report())


def test_what_was_adapted_and_what_was_not_counted_is_said():
    assert "adapted: groups=64 does not divide 24 channels: 8 used (backbone" in text(awkward_report())
    assert "not in flops (fvcore has no rule): aten::add x16, aten::mul x32" in text(resnet_report())
    assert "not in flops" not in text(awkward_report())


def test_rejections_share_a_line_by_reason():
    rejected = [Rejection(name="head", code=RejectionCode.NOT_RUN, reason="rare")]
    rejected += [Rejection(name=f"b{i}", code=RejectionCode.INNER, reason="often") for i in range(40)]
    assert rejection_grid(rejected, names=2).rows == (
        ("often", "40", "b0, b1 and 38 more"),
        ("rare", "1", "head"),
    )
    assert rejection_grid(rejected).rows[0][2].endswith("b38, b39")
