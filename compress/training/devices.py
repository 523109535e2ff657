"""The processor that a model is trained on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from compress.errors import ConfigError

if TYPE_CHECKING:
    import torch


def use_threads(threads: int) -> None:
    """Have this process, and libraries that it imports from now on, compute with so many threads."""
    import torch

    torch.set_num_threads(threads)
    os.environ |= {"OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}


def pick_device(name: str) -> torch.device:
    """The device asked for; `auto` is the first GPU if there is one."""
    import torch

    if name.startswith("cuda"):
        index = int(name.partition(":")[2] or 0)
        if index >= torch.cuda.device_count():
            raise ConfigError(
                f"device={name}: this machine has {torch.cuda.device_count()} CUDA devices; use auto or cpu"
            )
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def device_name(device: torch.device) -> str:
    """`cpu`, or the GPU's name."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
