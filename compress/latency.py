"""`python -m compress.latency RUN [RUN ...]`: latency of finished models on this machine, integers against float32.

Each model is measured with ONNX Runtime, a quantized one also as the float32 model that it stands for. The models take
turns in one process, so that other load on the machine affects all of them alike.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from compress.errors import ConfigError, Parser, exit_code
from compress.export import open_run
from compress.runs import environment
from compress.runs import latency as measurements
from compress.runs.latency import WHOLE, Cell, Latency

if TYPE_CHECKING:
    import onnxruntime

DESCRIPTION = """\
Measure the latency of finished models on this machine with ONNX Runtime. A quantized model is measured twice: with
integers, and with the same weights in float32. All models take turns in one process, so that other load on the machine
affects all alike. The times are printed and written to latency.json in each run folder."""
SHAPES = ((1, 32), (1, 128), (32, 32), (32, 128))  # batch, length


def measure(folders: Sequence[Path], *, threads: int, rounds: int, seconds: float) -> list[Latency]:
    """Measure finished experiments against each other and write `latency.json` into each run folder; what these say.

    Each model computes with so many threads, and the process is pinned to as many cores. At each shape each takes at
    most so many turns, and no new round begins after so many seconds, once there were three.
    """
    from compress.artifact import kinds, qdq, store
    from compress.model.architecture import longest

    runs = [(folder, open_run(folder)) for folder in folders]
    with _pinned(threads) as cores, tempfile.TemporaryDirectory(prefix="latency-") as scratch:
        sessions: dict[tuple[int, str], onnxruntime.InferenceSession] = {}
        lengths = []
        for number, folder in enumerate(folders):
            model = store.load(folder / "artifact")
            lengths.append(longest(model.config))
            bits = kinds.bits(model)
            for precision in (WHOLE, f"int{bits}") if bits else (WHOLE,):
                file = Path(scratch) / f"{number}-{precision}.onnx"
                qdq.to_onnx(model, file, as_float=precision == WHOLE)
                sessions[number, precision] = qdq.session(file, threads)
        cells: list[list[Cell]] = [[] for _ in runs]
        for batch, length in tqdm(SHAPES, desc="latency", unit="shape", leave=False, disable=None):
            fitting = {key: session for key, session in sessions.items() if length <= lengths[key[0]]}
            for (number, precision), times in _take_turns(fitting, batch, length, rounds, seconds).items():
                low, median, high = statistics.quantiles(times, n=4, method="inclusive")  # milliseconds for a batch
                cells[number].append(Cell(precision, batch, length, median, [low, high], len(times)))
    import onnxruntime

    machine = environment.environment() | {"onnxruntime": onnxruntime.__version__}
    measured = [
        Latency(1, document.run_id, threads, cores, of_run, machine)
        for (_, document), of_run in zip(runs, cells, strict=True)
    ]
    for (folder, _), of_run in zip(runs, measured, strict=True):
        measurements.write(folder, of_run)
    return measured


def _take_turns(
    sessions: dict[tuple[int, str], onnxruntime.InferenceSession], batch: int, length: int, rounds: int, seconds: float
) -> dict[tuple[int, str], list[float]]:
    """Milliseconds of each turn, the first and untimed one left out."""
    import numpy as np

    from compress.artifact.qdq import inputs_of

    ids = np.random.default_rng(0).integers(5, 200, (batch, length))
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    feeds = {key: {name: feed[name] for name in inputs_of(session)} for key, session in sessions.items()}
    times: dict[tuple[int, str], list[float]] = {key: [] for key in sessions}
    began = time.perf_counter()
    for turn in range(rounds + 1):
        if turn > 3 and time.perf_counter() - began > seconds:
            break
        for key, session in sessions.items():
            start = time.perf_counter()
            session.run(None, feeds[key])
            if turn:
                times[key].append(1000 * (time.perf_counter() - start))
    return times


@contextmanager
def _pinned(threads: int) -> Any:
    """Keep the process on as many of its cores as it uses threads, where the system can; None elsewhere."""
    if not hasattr(os, "sched_setaffinity"):
        yield None
        return
    allowed = os.sched_getaffinity(0)
    used = sorted(allowed)[:threads]
    os.sched_setaffinity(0, used)
    try:
        yield used
    finally:
        os.sched_setaffinity(0, allowed)


def table(folders: Sequence[Path], measured: Sequence[Latency]) -> str:
    """Milliseconds per batch, median (quartiles), a line for each model and precision; ratios to its own float32."""
    lines = [f"{'ms per batch':<34}" + "".join(f"{f'{b} × {n} tokens':>32}" for b, n in SHAPES)]
    for folder, of_run in zip(folders, measured, strict=True):
        cells = {(cell.precision, cell.batch, cell.length): cell for cell in of_run.cells}
        for precision in sorted({cell.precision for cell in of_run.cells}):
            line = f"{f'{folder.parent.parent.name} {folder.name} {precision}':<34}"
            for shape in SHAPES:
                cell, plain = cells.get((precision, *shape)), cells.get((WHOLE, *shape))
                shown = "too long"
                if cell and plain:
                    low, high = cell.quartiles_ms
                    shown = f"{cell.median_ms:.2f} ({low:.2f}–{high:.2f})"
                    shown += f" ×{plain.median_ms / cell.median_ms:.2f}" if precision != WHOLE else ""
                line += f"{shown:>32}"
            lines.append(line)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if done, 2 if the input was wrong."""
    return exit_code(lambda: _do(arguments))


def _do(arguments: Sequence[str] | None) -> int:
    parser = Parser(prog="python -m compress.latency", description=DESCRIPTION)
    parser.add_argument("run", type=Path, nargs="+", help="folder of a finished experiment: runs/…/<run_id>")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each model (default 1)")
    parser.add_argument("--rounds", type=int, default=100, help="turns of each model at each shape (default 100)")
    parser.add_argument("--seconds", type=float, default=20, help="seconds after which a shape gets no "
                        "further round; it gets at least three rounds (default 20)")  # fmt: skip
    options = parser.parse_args(arguments)
    if options.threads < 1 or options.rounds < 3:
        raise ConfigError(f"--threads {options.threads} --rounds {options.rounds}: must be at least 1 and 3")
    measured = measure(options.run, threads=options.threads, rounds=options.rounds, seconds=options.seconds)
    print(table(options.run, measured))
    machine = measured[0].environment
    print(f"{options.threads} thread(s) of {machine['cpu']} ({', '.join(machine['cpu_flags'])})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
