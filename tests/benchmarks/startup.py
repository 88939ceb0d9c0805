"""Help and listings beside `python -c "import torch"`; they aim at a third of it and import no torch.

python -m tests.benchmarks.startup [ROUNDS]
"""

from __future__ import annotations

import sys

from tests.benchmarks.processes import in_turn, median_seconds

PYTHON = sys.executable


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    runs = in_turn(
        {
            "import torch": [PYTHON, "-c", "import torch"],
            "--help": [PYTHON, "-m", "attn_inject", "--help"],
            "list": [PYTHON, "-m", "attn_inject", "list"],
            "list attention": [PYTHON, "-m", "attn_inject", "list", "attention"],
        },
        rounds,
    )
    base = median_seconds(runs["import torch"])
    for name, finished in runs.items():
        seconds = median_seconds(finished)
        print(f"{name:<16} {seconds:5.2f} s  {seconds / base:5.2f} x import torch")


if __name__ == "__main__":
    main()
