"""Finished stages are loaded, damaged ones are trained again."""

import pytest
import torch
from torch import nn

from safe.hearing.miniature.base.stages import Stages


def fill(model: nn.Module, value: float):
    def train() -> float:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(value)
        return value

    return train


def forbidden() -> float:
    raise AssertionError("a finished stage was trained again")


def test_second_run_resumes_after_the_finished_stages(tmp_path):
    first = nn.Linear(2, 2)
    stages = Stages(tmp_path, first)
    stages.run("one", fill(first, 1.0))

    def killed() -> float:
        fill(first, 9.0)()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stages.run("two", killed)

    second = nn.Linear(2, 2)
    again = Stages(tmp_path, second)
    again.run("one", forbidden)
    assert torch.equal(second.weight, torch.ones(2, 2))
    assert again.seconds["one"] == stages.seconds["one"]
    again.run("two", fill(second, 2.0))
    assert torch.equal(second.weight, torch.full((2, 2), 2.0))


def test_damaged_stage_is_trained_again(tmp_path):
    model = nn.Linear(2, 2)
    Stages(tmp_path, model).run("one", fill(model, 1.0))
    file = tmp_path / "one.safetensors"
    file.write_bytes(file.read_bytes()[:-5])
    Stages(tmp_path, model).run("one", fill(model, 3.0))
    assert torch.equal(model.weight, torch.full((2, 2), 3.0))


def test_tied_weights_stay_tied(tmp_path):
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)
            self.b.weight = self.a.weight

    model = Tied()
    Stages(tmp_path, model).run("one", fill(model, 4.0))
    other = Tied()
    Stages(tmp_path, other).run("one", forbidden)
    assert other.a.weight is other.b.weight
    assert torch.equal(other.b.weight, model.a.weight)
