"""The smallest architecture of every module, structure only, against the checked-in table.

`python -m tests.zoo` sweeps all of them; this keeps the normal run honest about a part.
"""

from __future__ import annotations

from importlib import metadata

import pytest

from tests.zoo.selection import smallest
from tests.zoo.survey import every_architecture, survey
from tests.zoo.table import read_table

TABLE = read_table()
NAMES = every_architecture()
CHOSEN = smallest(NAMES, {name: int(row["params"]) for name, row in TABLE.items()})


@pytest.mark.parametrize("name", CHOSEN)
def test_sites_as_in_the_table(name):
    line = survey(name)
    assert "crashed" not in line, line
    assert "failed" not in line, line
    if name not in TABLE:
        pytest.skip("newer than the table")
    expected = TABLE[name]
    assert str(line["sites"]) == expected["sites"]
    assert (", ".join(line["layouts"]) or "-") == expected["layouts"]
    assert (line["reason"] or "-") == expected["reason"]


def test_the_table_holds_every_architecture_of_its_versions():
    """With the versions that it was made with; newer libraries may list more."""
    head = read_head()
    if head != (metadata.version("timm"), metadata.version("torchvision")):
        pytest.skip("the table was made with other versions")
    assert set(NAMES) == set(TABLE)


def read_head() -> tuple[str, str]:
    """The versions of timm and torchvision that the table names."""
    from tests.zoo.table import TABLE as PATH

    words = PATH.read_text().split()
    return words[words.index("timm") + 1], words[words.index("torchvision") + 1].rstrip(":")
