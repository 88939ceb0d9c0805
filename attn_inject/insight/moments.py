"""Mean, spread and histogram of values that arrive in parts, on their own device; nothing waits for it."""

from __future__ import annotations

import torch

BINS = 20  # over 0 to 1; the first and the last one are what "near 0" and "near 1" mean, closer than 0.05


class Moments:
    """The values that were added so far.

    Attributes:
        count: How many.
        mean: Their mean, a scalar on the values' device.
        histogram: How many lie in each of `BINS` equal parts of [0, 1], (BINS,); values beyond it count in
            the outermost ones.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self.histogram = torch.zeros(BINS)
        self._squares = torch.zeros(())

    @torch.no_grad()
    def add(self, values: torch.Tensor) -> None:
        """Add values of any shape."""
        count = values.numel()
        if count == 0:
            return
        values = values.detach().float().reshape(-1)
        if self.count == 0:
            self.mean, self._squares, self.histogram = (
                held.to(values.device) for held in (self.mean, self._squares, self.histogram)
            )
        spread, mean = torch.var_mean(values, correction=0)
        total = self.count + count
        off = mean - self.mean
        # Chan's formula: sums of squares would lose the spread of values that hardly differ.
        self._squares = self._squares + spread * count + off.square() * (self.count * count / total)
        self.mean = self.mean + off * (count / total)
        self.count = total
        # histc refuses what is not finite, and drops what lies outside.
        inside = values.clamp(0, 1).nan_to_num(0.0)
        self.histogram = self.histogram + torch.histc(inside, BINS, 0, 1)

    def figures(self) -> torch.Tensor:
        """Mean, standard deviation, share near 0 and share near 1, (4,)."""
        count = max(1, self.count)
        spread = (self._squares / count).sqrt()
        near = self.histogram[[0, -1]] / count
        return torch.cat([torch.stack([self.mean, spread]), near])


def edges() -> list[float]:
    """The limits of the parts of a histogram, one more than `BINS`."""
    return [number / BINS for number in range(BINS + 1)]
