from __future__ import annotations

from typing import Any

import pytest

from tests.corpus.verdict import judge, stated_count

PLACE = {"glob": "*:Block", "stated": 2, "residual": 2, "why": "", "refusal": ""}
RIGHT: dict[str, Any] = {
    "step": "done",
    "places": [PLACE],
    "sites": 2,
    "found": [2],
    "refusals": [[]],
    "elsewhere": [],
}
RIGHT |= {"identity_eval": "", "identity_train": "", "reload": "", "remove": ""}
PARTLY = {**PLACE, "residual": 1, "why": "the other has no shortcut"}

TABLE = [
    ("exact", {}, []),
    ("explained", {"places": [PARTLY], "found": [1]}, ["the other has no shortcut"]),
    ("explained", {"found": [1], "refusals": [["six dimensions", "more"]]}, ["six dimensions"]),
    ("exact", {"refusals": [["six dimensions"]]}, []),
    ("wrong", {"found": [1]}, ["*:Block: 1 of 2"]),
    ("wrong", {"found": [3], "refusals": [["six dimensions"]]}, ["*:Block: 3 of 2"]),
    ("wrong", {"places": [PARTLY]}, ["*:Block: 2 of 1"]),
    ("wrong", {"elsewhere": ["a:B"]}, ["1 where no block is: a:B"]),
    ("wrong", {"elsewhere": list("abcde")}, ["5 where no block is: a, b, c, d, ..."]),
    (
        "wrong",
        {"identity_train": "differs by up to 1.00e+00"},
        ["identity in train mode: differs by up to 1.00e+00"],
    ),
    ("wrong", {"reload": "norm.weight differs"}, ["reload: norm.weight differs"]),
    ("wrong", {"checks": "one failed"}, ["own checks: one failed"]),
    ("wrong", {"insert_refused": "ModelError: no"}, ["insert refused: ModelError: no"]),
    ("crash", {"reload_crash": "KeyError: 'a'"}, ["reload: KeyError: 'a'"]),
    ("crash", {"step": "train", "killed": "over 120 s"}, ["train: over 120 s"]),
    (
        "crash",
        {"step": "train", "killed": "over 120 s", "found": [0]},
        ["train: over 120 s", "*:Block: 0 of 2"],
    ),
    ("not run", {"not_run": "ImportError: no"}, ["ImportError: no"]),
]


@pytest.mark.parametrize(("verdict", "change", "reasons"), TABLE)
def test_what_the_facts_amount_to(verdict, change, reasons):
    assert judge({**RIGHT, **change}) == (verdict, reasons)


def test_a_model_that_died_before_its_sites_were_found_is_a_crash():
    assert judge({"step": "find", "killed": "exit code -11", "places": [PLACE]}) == (
        "crash",
        ["find: exit code -11"],
    )


def test_the_stated_number_leaves_out_what_is_not_stated():
    assert stated_count({"places": [PLACE, {**PLACE, "stated": None}]}) == 2
    assert stated_count({"places": [{**PLACE, "stated": None}]}) is None
    assert stated_count({"places": [{**PLACE, "stated": 0}]}) == 0
    assert stated_count({}) is None
