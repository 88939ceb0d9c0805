"""The vocabulary: placements, starts, checks, formats, exit codes."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from attn_inject import errors, request
from attn_inject.cli.list import FORMATS
from attn_inject.errors import AttnInjectError
from attn_inject.models.state_dict import select
from attn_inject.models.weights_file import read_weights
from attn_inject.operate.pictures import DRAWN
from attn_inject.sites.site import RejectionCode
from tests.docs.writers.markdown import code, table
from tests.models.checkpoints import CHECKPOINTS
from tests.models.nets import net


def placements() -> str:
    return _meanings("placement", request.PLACEMENTS)


def placement_pictures() -> str:
    """A picture of each, before and after, and what it means."""
    parts = [
        f"**`{name}`**: {request.PLACEMENTS[name]}\n\n![A block without attention, and with it: {name}]"
        f"(figures/placement-{name}.svg)"
        for name in DRAWN
    ]
    return "\n\n".join(parts)


def starts() -> str:
    return _meanings("start", request.STARTS)


def checks() -> str:
    return _meanings("--check", request.CHECKS)


def formats() -> str:
    return _meanings("suffix", FORMATS)


def _meanings(title: str, words: Mapping[str, str]) -> str:
    return table(f"{title}|meaning", [(code(word), meaning) for word, meaning in words.items()])


def checkpoints() -> str:
    """What `--weights` says about each shape of checkpoint that the tests load."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [(title, *_told(make(), Path(folder) / "w.pt")) for title, make in CHECKPOINTS.items()]
    return table("what the file holds|key|prefix", rows)


def _told(content: Any, file: Path) -> tuple[str, str]:
    torch.save(content, file)
    found = select(read_weights(str(file)).leaves, net().state_dict())
    return code(found.key), code(found.prefix)


def rejection_codes() -> str:
    return table("code|meaning", [(code(str(item)), item.meaning) for item in RejectionCode])


def exit_codes() -> str:
    rows = [("0", "done", "", "")]
    rows += [
        (str(error.exit_code), _first_line(error), code(error.__name__), code(error.code))
        for error in error_classes()
    ]
    return table("exit code|meaning|in Python|`code` in JSON", rows)


def error_classes() -> Iterator[type[AttnInjectError]]:
    """Every error of the program, by exit code."""
    found = {
        item for item in vars(errors).values() if inspect.isclass(item) and issubclass(item, AttnInjectError)
    }
    yield from sorted(found, key=lambda error: error.exit_code)


def _first_line(error: type[AttnInjectError]) -> str:
    if error is AttnInjectError:
        return "A fault of attn-inject itself; a traceback is on stderr."
    return (inspect.getdoc(error) or "").partition("\n")[0]
