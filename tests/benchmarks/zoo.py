"""A zoo beside a plain shell loop, beside a bare warm process, on 1 and 2 workers, and on Ray.

    python -m tests.benchmarks.zoo [--all] [--loop N] [--ray]

Without `--all` a fixed sample of small models; with it the smallest model of each timm module, one of every
torchvision family and 40 more drawn with a seed, all under 100 M parameters. Every file is removed once
its digest is noted. Wanted: at least 4 x the models per minute of a loop of `attn-inject MODEL ...`, which
is measured on N of the models, and at most 1.5 x the time of `create_model` + `torch.save` in one process
that has everything imported.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.zoo_simulation import simulate

SAMPLE = """
    timm/resnet18 timm/mobilenetv2_035 timm/efficientnet_lite0 timm/vit_tiny_patch16_224 timm/convnext_atto
    timm/regnety_002 timm/ghostnet_050 timm/hardcorenas_a timm/levit_128s timm/mobilevit_xxs timm/dla46_c
    timm/xcit_nano_12_p16_224 timm/deit_tiny_patch16_224 timm/edgenext_xx_small timm/repvgg_a0
    timm/poolformer_s12 timm/swin_s3_tiny_224 timm/pit_ti_224 timm/mnasnet_small timm/tf_mobilenetv3_small_075
    timm/resnetv2_50 timm/crossvit_tiny_240 torchvision/regnet_y_400mf torchvision/shufflenet_v2_x0_5
    torchvision/mobilenet_v3_small
"""
OPTIONS = ["--attn", "ela-l", "--check", "structure"]
BARE = """
import inspect, json, sys, time, warnings
warnings.simplefilter("ignore")
import timm, torch, torchvision
torch.set_num_threads(1)

def make(name):
    source, _, bare = name.partition("/")
    if source == "timm":
        return timm.create_model(bare)
    known = inspect.signature(torchvision.models.get_model_builder(bare)).parameters
    # A detector would fetch its backbone's weights.
    without = {"weights_backbone": None} if "weights_backbone" in known else {}
    return torchvision.models.get_model(bare, **without)

began = time.perf_counter()
for name in json.loads(sys.argv[1]):
    torch.save(make(name).state_dict(), "bare.pt")
print(time.perf_counter() - began)
"""


def selection() -> list[str]:
    """The models of `--all`, sized without values, which takes some minutes."""
    import random

    from attn_inject import models
    from attn_inject.request import ModelRequest
    from tests.sweeps.selection import LARGEST, smallest
    from tests.sweeps.survey import every_architecture

    params: dict[str, int] = {}
    for name in every_architecture():
        try:
            model = models.load(ModelRequest(name=name), shapes_only=True).model
        except Exception as error:
            print(f"not sized: {name}: {error}", file=sys.stderr)
            continue
        params[name] = sum(parameter.numel() for parameter in model.parameters())
    small = [name for name, count in params.items() if count < LARGEST]
    chosen = smallest(small, params)
    rest = sorted(set(small) - set(chosen))
    return [*chosen, *random.Random(0).sample(rest, min(40, len(rest)))]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--loop", type=int, default=6, metavar="N")
    parser.add_argument("--ray", action="store_true")
    arguments = parser.parse_args()
    names = selection() if arguments.all else SAMPLE.split()
    with tempfile.TemporaryDirectory() as folder:
        measure(names, arguments.loop, with_ray=arguments.ray, folder=Path(folder))


def measure(names: list[str], loop: int, *, with_ray: bool, folder: Path) -> None:
    """Everything, one after another, in one folder."""
    print(f"{len(names)} models, load average {os.getloadavg()[0]:.1f} at the start")
    seconds = {}
    for jobs in (2, 1):
        out = folder / f"jobs{jobs}"
        seconds[jobs] = timed([*zoo_command(names, out), "--jobs", str(jobs)], folder)
        tell(f"zoo, {jobs} workers, whole process", seconds[jobs], len(names))
        if jobs == 2:
            explain(out)
    some = names[:: max(1, len(names) // loop)][:loop]
    looped = sum(timed(loop_command(name, folder), folder) for name in some) / len(some) * len(names)
    tell(f"shell loop, from {len(some)} of the models", looped, len(names))
    bare = timed_bare(names, folder)
    tell("create_model + torch.save, one warm process", bare, len(names))
    print(f"zoo with 2 workers: {looped / seconds[2]:.2f} x the models per minute of the loop (wanted 4)")
    print(f"zoo with 2 workers: {seconds[2] / bare:.2f} x the time of the bare process (wanted 1.5)")
    print(f"1 worker takes {seconds[1] / seconds[2]:.2f} x the time of 2")
    records = read(folder / "jobs2")
    simulate(
        [record["seconds"] for record in records], size=statistics.median(len(json.dumps(r)) for r in records)
    )
    if with_ray:
        compare_ray(names, folder)


def zoo_command(names: list[str], out: Path) -> list[str]:
    """One whole zoo."""
    program = [sys.executable, "-W", "ignore", "-m", "attn_inject", "zoo"]
    return [*program, *names, *OPTIONS, "--discard", "--out-dir", str(out)]


def loop_command(name: str, folder: Path) -> list[str]:
    """One turn of the loop."""
    out = ["--out", str(folder / "loop.pt"), "--force", "--quiet"]
    return [sys.executable, "-W", "ignore", "-m", "attn_inject", name, *OPTIONS, *out]


def timed(command: list[str], folder: Path) -> float:
    """Seconds of a process; `explain` reports failed models."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    began = time.perf_counter()
    with open(folder / "said.txt", "w") as said:
        code = subprocess.run(
            command, cwd=folder, env=environment, stdout=said, stderr=said, check=False
        ).returncode
    if code not in (0, 6, 7, 10):
        raise SystemExit(f"{' '.join(command)} ended with {code}\n{(folder / 'said.txt').read_text()}")
    return time.perf_counter() - began


def timed_bare(names: list[str], folder: Path) -> float:
    """Seconds of the bare work, without the imports."""
    command = [sys.executable, "-W", "ignore", "-c", BARE, json.dumps(names)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return float(done.stdout)


def read(folder: Path) -> list[dict[str, Any]]:
    """The records of a ledger."""
    lines = (json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines())
    return [line for line in lines if "key" in line]


def explain(folder: Path) -> None:
    """Failures with their reasons, and how well memory was estimated."""
    records = read(folder)
    failed = [record for record in records if record["status"] != "done"]
    unexplained = [record for record in failed if record["failure"]["code"] == "internal"]
    print(f"  {len(failed)} failed, {len(unexplained)} of them unexplained")
    for record in failed:
        print(f"    {record['model']}: {record['failure']['code']}: {record['failure']['message']:.160}")
    used = {r["model"]: r["peak_memory"] / r["need"] for r in records if r["status"] == "done"}
    most = max(used, key=lambda model: used[model])
    print(f"  peak memory: median {statistics.median(used.values()):.2f} of what was set aside", end="")
    print(f", most {used[most]:.2f} ({most})")


def compare_ray(names: list[str], folder: Path) -> None:
    """The same on a cluster of two nodes of this machine, one process each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1, memory=8 * 2**30, include_dashboard=False)
    try:
        out = folder / "ray"
        took = timed([*zoo_command(names, out), "--ray", cluster.address], folder)
    finally:
        cluster.shutdown()
    tell("zoo on Ray, 2 processes, whole process", took, len(names))
    here, there = (
        {record["file"]: record["seconds"] for record in read(folder / name) if record["status"] == "done"}
        for name in ("jobs2", "ray")
    )
    shared = here.keys() & there.keys()
    overhead = statistics.median(there[file] - here[file] for file in shared)
    print(f"Ray: median difference of the work of one model {overhead:+.2f} s; {len(shared)} models compared")


def tell(what: str, seconds: float, count: int) -> None:
    """One line."""
    print(f"{what:<46} {seconds:7.1f} s  {60 * count / seconds:6.1f} models per minute", flush=True)


if __name__ == "__main__":
    main()
