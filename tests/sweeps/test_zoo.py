"""The smallest architecture of every module, structure only, against the checked-in table.

`python -m tests.sweeps` sweeps all of them; this keeps the normal run honest about a part.
"""

from __future__ import annotations

from importlib import metadata

import pytest

from tests.sweeps.selection import smallest
from tests.sweeps.survey import every_architecture, survey
from tests.sweeps.table import TABLE as PATH
from tests.sweeps.table import read_table

TABLE = read_table()
NAMES = every_architecture()
CHOSEN = smallest(NAMES, {name: int(row["params"]) for name, row in TABLE.items()})


@pytest.mark.parametrize("name", CHOSEN)
def test_sites_as_in_the_table(name):
    line = survey(name)
    assert "crashed" not in line, line
    assert "failed" not in line, line
    if expected := TABLE.get(name):  # what is newer than the table must only be handled
        assert str(line["sites"]) == expected["sites"]
        assert (", ".join(line["layouts"]) or "-") == expected["layouts"]
        assert (line["reason"] or "-") == expected["reason"]


def test_the_table_holds_every_architecture_of_its_versions():
    """Newer libraries may list more, and what they dropped is no longer asked for."""
    words = PATH.read_text().split()
    made_with = words[words.index("timm") + 1], words[words.index("torchvision") + 1].rstrip(":")
    if made_with == (metadata.version("timm"), metadata.version("torchvision")):
        assert set(NAMES) == set(TABLE)
    assert len(set(NAMES) & set(TABLE)) > 1000
