"""A model that lacks memory beside others is made alone; `python -m tests.zoo.memory` does it often."""

from __future__ import annotations

from attn_inject.zoo.manifest import Options, make_zoo
from attn_inject.zoo.text_pages import ending_page
from tests.zoo.memory import run


def test_models_that_lack_memory_are_made_alone_and_the_summary_says_so(tmp_path):
    records = run(tmp_path, ["se"])
    assert [record.is_done for record in records] == [True, True]
    alone = [record for record in records if record.alone]
    assert [record.attempts for record in alone] == [2]
    zoo = make_zoo([Options({"models": ["tiny"], "attn": "se", "out_dir": str(tmp_path)})])
    assert f"{alone[0].label}: made alone, after memory ran out beside other models" in ending_page(
        records, zoo
    )
