from __future__ import annotations

from pathlib import Path

import pytest

from tests.corpus.case import Place, by_place, layers, no_blocks, stated
from tests.corpus.libraries import LIBRARIES, Library


def test_a_number_that_differs_needs_a_reason():
    with pytest.raises(ValueError, match="no reason why"):
        Place("*:Block", 3, 2)
    with pytest.raises(ValueError, match="no reason why"):
        Place("*:Block", None, 2)


def test_each_label_goes_to_the_first_place_that_matches():
    places = [stated("head.*:Block", 1), layers("Block", 2)]
    labels = ["head.0:Block", "body.0:Block", "body.1:Block", "body.1.norm:Norm"]
    assert by_place(labels, places) == ([1, 2], ["body.1.norm:Norm"])


def test_a_model_without_blocks_has_a_place_for_every_site():
    assert by_place(["a:B"], no_blocks("a chain")) == ([1], [])


def test_a_name_may_stand_only_once_in_a_library():
    twice = Library("torch", ("tests.corpus.tiny_library", "tests.corpus.tiny_library"))
    with pytest.raises(ValueError, match="a name stands twice"):
        twice.cases()


def test_a_library_that_is_not_installed_has_no_version():
    assert Library("attn-inject-no-such-library", ()).version == ""


def test_every_library_is_among_the_requirements():
    listed = (Path(__file__).parent / "requirements.txt").read_text()
    names = {
        line.split(">=")[0].replace("-", "_") for line in listed.splitlines() if not line.startswith("#")
    }
    assert {library.distribution.replace("-", "_") for library in LIBRARIES.values()} <= names
