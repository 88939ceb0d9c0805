"""What a row's facts amount to: exact, explained, wrong, crash, or not run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VERDICTS = ("exact", "explained", "wrong", "crash", "not run")
STEPS = ("find", "insert", "reload", "remove", "train")
PROOFS = {
    "identity_eval": "identity in eval mode",
    "identity_train": "identity in train mode",
    "reload": "reload",
    "remove": "remove",
}


def judge(row: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The verdict on one row, and its reasons.

    - *not run*: the library could not build or run its own model; nothing of ours was tried.
    - *crash*: an exception that is not a documented error, a killed process, a time-out.
    - *wrong*: a place has another number of sites than residual blocks, a site is where no block is,
      a proof failed, or a model that runs was refused.
    - *explained*: all is right, and the number differs from the stated one for a reason in the table,
      or a rejection that the table allows for says why there are fewer.
    - *exact*: all is right, and as many as stated.
    """
    if "not_run" in row:
        return "not run", [row["not_run"]]
    crashes = [f"{step}: {row[f'{step}_crash']}" for step in STEPS if f"{step}_crash" in row]
    crashes += [f"{row.get('step', 'start')}: {row['killed']}"] if "killed" in row else []
    faults = _misplaced(row) + _unproven(row)
    if crashes:
        return "crash", crashes + faults
    if faults:
        return "wrong", faults
    reasons = [place["why"] for place in row["places"] if place["why"]]
    reasons += [refusals[0] for place, found, refusals in _counted(row) if found < place["residual"]]
    reasons = list(dict.fromkeys(reasons))
    return ("explained" if reasons else "exact"), reasons


def _counted(row: Mapping[str, Any]) -> list[tuple[Any, int, list[str]]]:
    """Each place with its sites, and the reasons of the rejections that excuse too few."""
    if "sites" not in row:
        return []
    return list(zip(row["places"], row["found"], row["refusals"], strict=True))


def _misplaced(row: Mapping[str, Any]) -> list[str]:
    """What is wrong with where the sites are."""
    faults = []
    for place, found, refusals in _counted(row):
        excused = refusals and found < place["residual"]
        if found != place["residual"] and not excused:
            faults.append(f"{place['glob']}: {found} of {place['residual']}")
    if elsewhere := row.get("elsewhere"):
        shown = ", ".join(elsewhere[:4]) + (", ..." if len(elsewhere) > 4 else "")
        faults.append(f"{len(elsewhere)} where no block is: {shown}")
    return faults


def _unproven(row: Mapping[str, Any]) -> list[str]:
    """What was refused, or is not as it was."""
    refused = [f"{step} refused: {row[f'{step}_refused']}" for step in STEPS if f"{step}_refused" in row]
    faults = [f"{text}: {row[key]}" for key, text in PROOFS.items() if row.get(key)]
    checks = [f"own checks: {row['checks']}"] if "checks" in row else []
    return refused + faults + checks


def stated_count(row: Mapping[str, Any]) -> int | None:
    """Blocks that the model's configuration states, or None where it states none."""
    numbers = [place["stated"] for place in row.get("places", []) if place["stated"] is not None]
    return sum(numbers) if numbers else None
