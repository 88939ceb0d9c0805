"""Does the identity start keep what a trained network knows? A small ResNet on scikit-learn's digits.

    python -m tests.benchmarks.learning [--attn ela-l] [--seeds 5] [--svg FILE]

A network is trained first. Then it goes on for the same number of epochs three times: untouched, with an
attention module at the identity start, and with the module at the paper's start. A seed decides the split
into images to learn from and to test on, the first weights and the order of the images. Printed is the
accuracy on the test images, in percent: mean and spread (standard deviation) over the seeds.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev

import timm
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional

import attn_inject

FIRST, THEN = 10, 6  # epochs
BATCH, RATE, LATER_RATE, DECAY = 64, 4e-3, 1e-3, 0.05
ARMS = ("untouched", "identity", "paper")
Images = tuple[torch.Tensor, torch.Tensor]


def digits(seed: int) -> tuple[Images, Images]:
    """1,297 images to learn from and 500 to test on, (N, 1, 32, 32), with their labels, (N,)."""
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32)[:, None] / 8 - 1
    images = functional.interpolate(images, scale_factor=4, mode="bilinear")
    labels = torch.tensor(data.target)
    learn, test = train_test_split(range(len(labels)), test_size=500, random_state=seed, stratify=data.target)
    return (images[learn], labels[learn]), (images[test], labels[test])


def train(model: nn.Module, images: Images, test: Images, epochs: int, rate: float) -> Iterator[float]:
    """Train a model and yield its accuracy before and after each epoch, in percent."""
    optimizer = torch.optim.AdamW(attn_inject.parameter_groups(model, weight_decay=DECAY), lr=rate)
    steps = epochs * (len(images[0]) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    yield accuracy(model, test)
    for _ in range(epochs):
        model.train()
        order = torch.randperm(len(images[0]))
        for batch in order[: len(order) // BATCH * BATCH].split(BATCH):
            loss = functional.cross_entropy(model(images[0][batch]), images[1][batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        yield accuracy(model, test)


@torch.no_grad()
def accuracy(model: nn.Module, test: Images) -> float:
    """Percent of the test images whose digit is found."""
    found = model.eval()(test[0]).argmax(1)
    return 100 * (found == test[1]).float().mean().item()


def modified(model: nn.Module, attention: str, start: str) -> nn.Module:
    """A copy of a trained model, modified unless `start` is `untouched`."""
    if start == "untouched":
        return copy.deepcopy(model)
    return attn_inject.inject(model, attention, start=start, input_size=(1, 32, 32), check="off").model


def one_seed(attention: str, seed: int) -> dict[str, list[float]]:
    """The accuracies of each arm, before and after each epoch, and those of the first training."""
    images, test = digits(seed)
    torch.manual_seed(seed)
    model = timm.create_model("test_resnet", in_chans=1, num_classes=10)
    curves = {"first": list(train(model, images, test, FIRST, RATE))}
    for arm in ARMS:
        torch.manual_seed(seed + 1000)
        arm_model = modified(model, attention, arm)
        with torch.no_grad():
            same = torch.equal(arm_model.eval()(test[0]), model.eval()(test[0]))
        assert same or arm == "paper", f"seed {seed}: the {arm} arm begins as another function"
        torch.manual_seed(seed + 2000)
        curves[arm] = list(train(arm_model, images, test, THEN, LATER_RATE))
    return curves


def table(curves: dict[str, list[list[float]]]) -> str:
    """Lines of a Markdown table: mean and spread over the seeds, before and after each epoch."""
    head = ["start", "at once", *(f"epoch {epoch}" for epoch in range(1, THEN + 1))]
    rows = [head, ["---"] * len(head)]
    for arm in ARMS:
        columns = zip(*curves[arm], strict=True)
        rows.append([arm, *(f"{mean(column):.1f} ± {stdev(column):.1f}" for column in columns)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def plot(curves: dict[str, list[list[float]]], title: str) -> str:
    """Mean accuracy by epoch, with the range over the seeds behind it, as SVG."""
    width, height, left, top, bottom = 520, 260, 48, 34, 40
    lowest = min(min(map(min, curves[arm])) for arm in ARMS)
    floor = max(0.0, 10 * (lowest // 10))

    def point(epoch: int, value: float) -> str:
        x = left + (width - left - 110) * epoch / THEN
        y = top + (height - top - bottom) * (100 - value) / (100 - floor)
        return f"{x:.1f},{y:.1f}"

    parts = [f'<text x="{left}" y="18">{title}</text>']
    for tick in (floor, (floor + 100) / 2, 100.0):
        y = point(0, tick).partition(",")[2]
        parts.append(f'<path class="grid" d="M{left},{y}H{width - 110}"/>')
        parts.append(f'<text x="{left - 6}" y="{y}" text-anchor="end" dy="4">{tick:.0f} %</text>')
    for epoch in range(THEN + 1):
        x = point(epoch, floor).partition(",")[0]
        label = "at once" if epoch == 0 else str(epoch)
        parts.append(f'<text x="{x}" y="{height - 16}" text-anchor="middle">{label}</text>')
    for index, (arm, colour) in enumerate(zip(ARMS, ("#6b7280", "#2563eb", "#c2410c"), strict=True)):
        columns = list(zip(*curves[arm], strict=True))
        low = [point(epoch, min(column)) for epoch, column in enumerate(columns)]
        high = [point(epoch, max(column)) for epoch, column in enumerate(columns)]
        middle = [point(epoch, mean(column)) for epoch, column in enumerate(columns)]
        parts.append(f'<polygon points="{" ".join(low + high[::-1])}" fill="{colour}" opacity="0.15"/>')
        parts.append(f'<polyline points="{" ".join(middle)}" stroke="{colour}"/>')
        y = top + 60 + 20 * index
        parts.append(f'<text x="{width - 98}" y="{y}" style="fill:{colour}">{arm}</text>')
    style = (
        "text{font:12px sans-serif;fill:#1b1f24}"
        "polyline{fill:none;stroke-width:2}.grid{stroke:#d0d7de;fill:none}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">'
        f'<style>{style}</style><rect width="{width}" height="{height}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def main() -> None:
    """Train, print, and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--attn", default="ela-l")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--svg", type=Path)
    arguments = parser.parse_args()
    seeds = [one_seed(arguments.attn, seed) for seed in range(arguments.seeds)]
    curves = {arm: [seed[arm] for seed in seeds] for arm in ("first", *ARMS)}
    before = [curve[-1] for curve in curves["first"]]
    print(f"{arguments.attn}, {len(seeds)} seeds; accuracy on 500 images, percent, mean and spread")
    print(f"after the first training: {mean(before):.1f} ± {stdev(before):.1f}")
    print(table(curves))
    for arm in ARMS[1:]:
        drops = [curve[0] - last for curve, last in zip(curves[arm], before, strict=True)]
        print(f"{arm}: change at once, by seed: {', '.join(f'{drop:+.1f}' for drop in drops)}")
    if arguments.svg:
        title = f"Accuracy on test images, {arguments.attn}: mean and range over {len(seeds)} seeds, by epoch"
        arguments.svg.write_text(plot(curves, title), encoding="utf-8")


if __name__ == "__main__":
    main()
