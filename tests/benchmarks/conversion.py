"""The cost of a conversion beside a bare script that imports timm, builds the model and saves it.

    python -m tests.benchmarks.conversion [ROUNDS]

Time: `--check off` aims at 1.3 x, full checks at 2 x. Memory: the peak of `--check off` aims at the weights
plus the bare imports plus 20 %.
"""

from __future__ import annotations

import sys

from tests.benchmarks.processes import in_turn, median_peak, median_seconds

PYTHON = sys.executable
BARE = "import timm, torch; torch.save(timm.create_model({name!r}).state_dict(), 'bare.pt')"
IMPORTS = "import timm, torch"
INJECT = [PYTHON, "-m", "attn_inject", "--attn", "ela-l", "--out", "model.pt", "--force", "--quiet"]


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    name = "resnet50"
    runs = in_turn(
        {
            "imports": [PYTHON, "-c", IMPORTS],
            "bare": [PYTHON, "-c", BARE.format(name=name)],
            "off": [*INJECT, name, "--check", "off"],
            "full": [*INJECT, name, "--check", "full"],
        },
        rounds,
    )
    bare = median_seconds(runs["bare"])
    print(f"{name}, medians of {rounds} runs in turn, whole processes")
    for key in ("imports", "bare", "off", "full"):
        seconds, peak = median_seconds(runs[key]), median_peak(runs[key])
        print(f"  {key:<8} {seconds:6.2f} s  {seconds / bare:5.2f} x bare   peak {peak / 2**20:7.0f} MiB")
    memory(rounds)


def memory(rounds: int) -> None:
    """Peak memory of a conversion against the weights plus the bare imports."""
    import timm
    import torch

    for name in ("resnet50", "wide_resnet101_2"):
        with torch.device("meta"):
            model = timm.create_model(name)
        weights = sum(t.numel() * t.element_size() for t in model.state_dict().values())
        runs = in_turn(
            {
                "imports": [PYTHON, "-c", "import timm, torch, torchvision, fvcore.nn"],
                "off": [*INJECT, name, "--check", "off"],
            },
            max(1, rounds // 2),
        )
        allowed = (weights + median_peak(runs["imports"])) * 1.2
        peak = median_peak(runs["off"])
        print(
            f"{name}: weights {weights / 2**20:.0f} MiB, "
            f"imports {median_peak(runs['imports']) / 2**20:.0f} MiB, "
            f"peak of --check off {peak / 2**20:.0f} MiB: {peak / allowed:.2f} x of what is allowed"
        )


if __name__ == "__main__":
    main()
