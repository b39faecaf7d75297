"""Training stages, each saved when finished: a killed run loses at most one stage."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import nn

from safe.files import atomic

NOTES = ("wall", "cpu", "loss")


class Stages:
    """Runs stages on one model, and restores those that an earlier run finished.

    Attributes:
        seconds: stage -> wall and CPU seconds and final loss (`wall`, `cpu`, `loss`) when trained.
    """

    def __init__(self, folder: Path, model: nn.Module) -> None:
        self.folder, self.model = folder, model
        self.seconds: dict[str, dict[str, float]] = {}

    def run(self, name: str, train: Callable[[], float]) -> None:
        """Train the stage, or restore the model from the finished stage.

        Args:
            train: trains the model in place and returns the final loss.
        """
        path = self.folder / f"{name}.safetensors"
        if not self._restore(name, path):
            wall, cpu = time.perf_counter(), time.process_time()
            loss = train()
            self.seconds[name] = {
                "wall": round(time.perf_counter() - wall, 2),
                "cpu": round(time.process_time() - cpu, 2),
                "loss": round(loss, 5),
            }
            with atomic(path) as temporary:
                notes = {key: str(value) for key, value in self.seconds[name].items()}
                save_model(self.model, str(temporary), metadata=notes)

    def done(self, name: str) -> bool:
        """Return whether the stage's result exists."""
        return (self.folder / f"{name}.safetensors").is_file()

    def _restore(self, name: str, path: Path) -> bool:
        try:
            with safe_open(str(path), framework="pt") as file:
                notes = file.metadata() or {}
            load_model(self.model, str(path))
        except FileNotFoundError:
            return False
        except (SafetensorError, RuntimeError, OSError):
            path.unlink(missing_ok=True)  # damaged, train again
            return False
        # The metadata also contains the names of tied weights.
        self.seconds[name] = {key: float(notes[key]) for key in NOTES if key in notes}
        return True
