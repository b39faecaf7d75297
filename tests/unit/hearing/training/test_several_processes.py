"""Two processes with half a batch each take the same step as one with the whole batch."""

import dataclasses
import os
import subprocess
import sys

import pytest
import torch

from tests.paths import ROOT
from tests.unit.hearing.training.test_trainer import SETTINGS, make_trainer

STEPS = 3
WORKER = """
import dataclasses, sys
import torch
torch.set_num_threads(1)
from tests.unit.hearing.training.test_trainer import SETTINGS, make_trainer
trainer = make_trainer(settings=dataclasses.replace(SETTINGS, steps=3), dropout=0.0)
assert trainer.accelerator.num_processes == 2
history = trainer.run()
if trainer.accelerator.is_main_process:
    weights = {n: p.detach() for n, p in trainer.model.trainable().items()}
    torch.save({"weights": weights, "losses": [r.loss for r in history],
                "norms": [r.gradient_norm for r in history]}, sys.argv[1])
trainer.accelerator.end_training()
"""


def test_two_processes_train_as_one(tmp_path):
    script, result = tmp_path / "worker.py", tmp_path / "result.pt"
    script.write_text(WORKER)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"),
            *("--standalone", str(script), str(result)),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ".", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = torch.load(result, weights_only=True)

    alone = make_trainer(settings=dataclasses.replace(SETTINGS, steps=STEPS), dropout=0.0)
    history = alone.run()
    assert found["losses"] == pytest.approx([r.loss for r in history], abs=1e-4)
    assert found["norms"] == pytest.approx([r.gradient_norm for r in history], rel=1e-3)
    for name, weight in alone.model.trainable().items():
        assert torch.allclose(found["weights"][name], weight, atol=1e-3), name
