"""Every module has a complete record of where it is from."""

import re

import pytest

from attn_inject.attention.catalog import ROWS
from attn_inject.attention.evidence import EVIDENCE, evidence_of
from attn_inject.attention.evidence.records import KINDS

every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{8}\b")


def test_there_is_a_record_for_each_file_and_for_nothing_else():
    files = {row.target.partition(":")[0].rpartition(".")[2] for row in ROWS}
    assert files == EVIDENCE.keys()
    assert evidence_of("timm:se") is None


@every_row
def test_every_default_has_its_source(row):
    assert row.options.keys() <= evidence_of(row.target).options.keys()


@pytest.mark.parametrize("file", EVIDENCE)
def test_no_record_speaks_of_options_that_do_not_exist(file):
    named = {
        name for row in ROWS if row.target.partition(":")[0].endswith(f".{file}") for name in row.options
    }
    assert set(EVIDENCE[file].options) == named


@pytest.mark.parametrize("file", EVIDENCE)
def test_every_source_is_stated_in_full(file):
    record = EVIDENCE[file]
    claims = [*(claim for _, claim in record.claims()), *(count.claim for count in record.counts)]
    assert all(claim.kind in KINDS and claim.where for claim in claims)
    assert all(REPOSITORY.match(claim.where) for claim in claims if claim.kind == "code")
    assert all(re.search(r"section|table|equation|abstract", c.where) for c in claims if c.kind == "paper")
    assert all(len(claim.where.split()) > 2 for claim in claims if claim.kind == "assumed")


@pytest.mark.parametrize("file", EVIDENCE)
def test_a_difference_is_rounding_or_has_its_reason(file):
    difference = EVIDENCE[file].difference
    if difference is not None:
        assert REPOSITORY.fullmatch(difference.code)
        assert difference.seeds >= 3
        assert difference.largest < 1e-12 or difference.note
