"""What Weights & Biases costs: a grid of 384 short experiments with and without it, on a local stand-in for its server.

python tests/benchmarks/tracking.py [--seeds 0,1,2,3]

Both grids are run by the local launcher; each experiment trains for 100 steps, so it logs as many rows as a long one.
Every run must be on the server whole; processes, sockets and files are counted before and after.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.wandb_server import WandbServer  # noqa: E402 - beside this folder

GRID = ["model=demo/tiny,demo/mini,demo/small", "data=demo", "train=demo", "task=cola,sst2,mrpc,stsb,qqp,mnli,qnli,rte",
        "quantize=none,int8", "distill=none", "prune=none,magnitude", "seed=0,1,2,3", "train.max_steps=100",
        "data.max_train=200", "train.epochs=100"]  # fmt: skip


def run(folder: Path, environment: dict[str, str], *more: str) -> float:
    """Run the grid; the seconds that it took."""
    command = [sys.executable, "-m", "compress", "-m", *GRID, f"paths.runs={folder}", *more]
    started = time.monotonic()
    subprocess.run(command, check=True, env=os.environ | environment, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def ours(words: str) -> list[str]:
    """Processes with these words in their command line, but for this one."""
    found = (" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))
    return [line for line in found if words in line and "benchmarks/tracking.py" not in line]


def main() -> None:
    """Run both grids, count, and print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2,3", help="of each of the 96 experiments; four of them are 384 runs")
    options = parser.parse_args()
    seeds = f"seed={options.seeds}"
    with tempfile.TemporaryDirectory() as scratch, WandbServer() as server:
        before = len(ours("wandb-core"))
        plain = run(Path(scratch, "plain"), {}, seeds, "tracking=none")
        tracked = run(Path(scratch, "tracked"), server.environment(), seeds)
        documents = [json.loads(path.read_text()) for path in Path(scratch, "tracked").glob("*/*/*/*/result.json")]
        assert len(server.runs) == len(documents) > 0
        for document in documents:
            arrived = server.runs[document["run_id"]]
            assert arrived.state == "finished"
            assert [row["global_step"] for row in arrived.history] == list(range(1, 101))
            assert arrived.summary["score_glue"] == document["score_glue"]
        assert server.unknown == []
        cost = (tracked - plain) * min(2, os.cpu_count() or 1) / len(documents)
        print(f"{len(documents)} runs: {plain:.0f} s without W&B, {tracked:.0f} s with: {cost:.2f} s of a core each")
        time.sleep(2)
        print(f"left behind: {len(ours('wandb-core')) - before} processes of the client")
        sockets = len([link for link in psutil.Process().net_connections() if link.status == "ESTABLISHED"])
        print(f"             {sockets} open connections to the server")
        logs = list(Path(tempfile.gettempdir()).glob("tmp*/port-*.txt"))
        print(f"             {len(logs)} port files in {tempfile.gettempdir()}")
        mb = sum(path.stat().st_size for path in Path(scratch, "tracked").rglob("wandb/**/*") if path.is_file()) / 1e6
        print(f"on disk: {mb / len(documents):.2f} MB for each run below wandb/")


if __name__ == "__main__":
    main()
