"""Trained weights and photographs, end to end: the identity start keeps every bit, the paper's no class."""

from __future__ import annotations

import re

import pytest
import torch
from timm.data import ImageNetInfo

import attn_inject
from tests.docs.pages import README
from tests.real import starts
from tests.real.material import base, save_photographs


@pytest.fixture(scope="module")
def rows():
    return starts.compare()


def test_the_base_knows_a_cat_and_a_coffee(rows):
    names = ImageNetInfo("imagenet-1k").label_descriptions()
    said = [names[int(index)] for index in rows[0].base.argmax(1)]
    assert (said[1], said[3]) == ("tiger cat", "espresso")


def test_the_identity_start_keeps_every_bit_and_the_papers_no_class(rows):
    assert len(rows) == len(starts.MODULES) * 2
    for row in rows:
        assert torch.equal(row.base, row.modified) == (row.start == "identity")
        assert (row.base.argmax(1) == row.modified.argmax(1)).sum() == (6 if row.start == "identity" else 0)


def test_the_readme_shows_this_table_and_this_picture(rows):
    assert starts.table(rows) in README.read_text(encoding="utf-8")
    drawn = (starts.picture(rows), starts.PICTURE.read_text(encoding="utf-8"))
    now, kept = (re.findall("<text[^>]*>([^<]*)<", one) for one in drawn)
    assert now == kept
    assert len(now) == 3 + 2 * 3 * 6 + 1


def test_look_and_prune_on_trained_weights(tmp_path):
    model = attn_inject.inject(base(), "cbam", start="identity", check="off", where=["blocks.5.*"]).model
    photos = save_photographs(tmp_path)
    seen = attn_inject.look(model, photos, class_maps=True, limit=3)
    assert (seen.agreement, seen.divergence) == (1, 0)
    said = {picture.name: picture.said[0] for picture in seen.pictures}
    assert said == {"astronaut.png": "football helmet", "china.png": "palace", "flower.png": "daisy"}
    assert all(picture.cam == picture.base_cam and any(picture.cam[2]) for picture in seen.pictures)
    # One of three modules works; the other two may go, at no change at all.
    torch.nn.init.constant_(attn_inject.inserted(model)["blocks.5.2"].alpha, 1.0)
    report = attn_inject.prune(model, photos, max_change=0, limit=3).report
    assert [step.site for step in report.steps] == ["blocks.5.1", "blocks.5.3"]
    assert (report.steps[-1].divergence, report.next.site) == (0, "blocks.5.2")
