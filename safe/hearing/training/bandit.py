"""Contextual bandit over numbers of audio tokens, trained on precomputed outcomes.

An item is a question with audio. An action is to skip the audio or to use a number of audio tokens.
The reward is the score of the answer minus `price` times its seconds. The policy samples one action
per item and sees only its reward. It is trained by REINFORCE (Williams 1992) with a learned
baseline, the expected reward of the item (Sutton and Barto 2018, section 13.4). The loss of VL
accuracy compared with the base is constrained: a Lagrange multiplier (Altman 1999) increases while
the constraint is violated, and weights that violate it on `learned` and `held` are discarded.

Shape legend: N items, F features, A actions; action 0 skips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn

from safe.errors import ConfigError, DataError


@dataclass(frozen=True)
class Outcomes:
    """Outcome of every action for every item.

    Attributes:
        features: (N, F) float64, available without the audio encoder.
        scores: (N, A), 1 where the answer is correct.
        seconds: (N, A), latency of the answer.
        vl_examples: (N,) bool, True for questions that need only the picture.
        groups: N keys; items with the same key share a recording or picture.
    """

    features: np.ndarray
    scores: np.ndarray
    seconds: np.ndarray
    vl_examples: np.ndarray
    groups: tuple[str, ...]

    def __post_init__(self) -> None:
        shapes = {len(self.features), len(self.scores), len(self.seconds), len(self.vl_examples)}
        if shapes != {len(self.groups)} or self.scores.shape != self.seconds.shape:
            raise DataError("features, scores, seconds, kinds and keys have different lengths")
        for name in ("features", "scores", "seconds"):
            if not np.isfinite(getattr(self, name)).all():
                raise DataError(f"{name} of the outcomes have a value that is not finite")

    def __len__(self) -> int:
        return len(self.groups)

    def take(self, rows: np.ndarray) -> Outcomes:
        """Select the items where `rows`, (N,) bool, is True."""
        return replace(
            self,
            features=self.features[rows],
            scores=self.scores[rows],
            seconds=self.seconds[rows],
            vl_examples=self.vl_examples[rows],
            groups=tuple(self.groups[i] for i in np.flatnonzero(rows)),
        )

    def reward(self, actions: np.ndarray, price: float) -> float:
        """Return the mean of score minus `price` times seconds for `actions`, (N,)."""
        gained = self.scores - price * self.seconds
        return float(gained[np.arange(len(self)), actions].mean())

    def vl_drop(self, actions: np.ndarray) -> float:
        """Return the base's VL accuracy minus that of `actions`, (N,).

        Raises:
            DataError: there are no VL questions.
        """
        if not self.vl_examples.any():
            raise DataError("there are no VL questions to check the floor with")
        scores = self.scores[np.arange(len(self)), actions]
        return float((self.scores[:, 0] - scores)[self.vl_examples].mean())


@dataclass(frozen=True, slots=True)
class BanditSettings:
    """Settings of a policy's training.

    Attributes:
        price: alpha, reward lost per second.
        decisions: total number of sampled actions.
        lr: initial learning rate; it decays linearly to 0.
        floor: maximum loss of VL accuracy; training uses `floor * (1 - reserve)`.
        evaluate_every: decisions between evaluations.
    """

    price: float
    decisions: int = 50_000
    batch: int = 64
    hidden: int = 32
    lr: float = 1e-2
    floor: float = 0.005
    reserve: float = 0.8  # the loss on other items varies around the loss in training
    entropy: float = 0.05  # with 0.01 it may converge to few tokens before it tries many
    evaluate_every: int = 2_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.price < float("inf"):
            raise ConfigError(
                f"the price per second must be finite and at least 0, not {self.price}",
                key="policy.latency_weights",
                hint="set it to 0 or more",
            )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Evaluation of the current policy on the `checked` items.

    Attributes:
        decisions: number of actions sampled so far.
        reward, vl_drop, skip_rate: with greedy actions; see `Outcomes.vl_drop`.
        multiplier: Lagrange multiplier after the evaluation.
        kept: True if the newest weights were kept, False if the previous ones were restored.
    """

    decisions: int
    reward: float
    vl_drop: float
    skip_rate: float
    multiplier: float
    kept: bool


class PolicyNet(nn.Module):
    """Maps features (N, F), normalised to mean 0 and deviation 1, to preferences (N, A)."""

    mean: Tensor
    scale: Tensor

    def __init__(self, features: int, actions: int, hidden: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(features, dtype=torch.float64))
        middle: list[nn.Module] = (
            [nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, actions)]
            if hidden
            else [nn.Linear(features, actions)]
        )
        self.net = nn.Sequential(*middle).double()

    def normalise(self, features_NF: np.ndarray) -> None:
        """Set the normalisation to mean and deviation of these items."""
        self.mean.copy_(torch.from_numpy(features_NF.mean(axis=0)))
        spread = torch.from_numpy(features_NF.std(axis=0))
        self.scale.copy_(torch.where(spread > 1e-9, spread, torch.ones_like(spread)))

    def forward(self, features_NF: Tensor) -> Tensor:
        preferences: Tensor = self.net((features_NF - self.mean) / self.scale)
        return preferences

    @torch.no_grad()
    def actions(self, features_NF: np.ndarray) -> np.ndarray:
        """Return (N,), the preferred action of each item; the first one on ties."""
        found: np.ndarray = self(torch.from_numpy(features_NF)).argmax(dim=1).numpy()
        return found


def hold_back(groups: Sequence[str], share: float, seed: int) -> np.ndarray:
    """Return (N,) bool: held-out items, in whole groups.

    Raises:
        DataError: there are fewer than two groups.
    """
    keys = sorted(set(groups))
    if len(keys) < 2:
        raise DataError("items of a single recording or picture cannot be split")
    order = np.random.default_rng([seed, 12]).permutation(len(keys))
    count = min(len(keys) - 1, max(1, round(share * len(keys))))
    held = {keys[i] for i in order[:count]}
    return np.array([group in held for group in groups])


def train_bandit(
    learned: Outcomes, held: Outcomes, checked: Outcomes, settings: BanditSettings
) -> tuple[PolicyNet, list[Evaluation]]:
    """Train a policy; return it and all evaluations.

    Args:
        learned: items to sample actions for.
        held: additional items on which the floor is enforced.
        checked: items for the evaluations. No two of the three may share a group.

    Raises:
        DataError: two of them share a group.
    """
    for one, other in combinations((learned, held, checked), 2):
        shared = set(one.groups) & set(other.groups)
        if shared:
            raise DataError(
                f"{len(shared)} recordings or pictures are in two of `learned`, `held` and "
                f"`checked`, e.g. {min(shared)}",
                hint="split the items with `hold_back`",
            )
    generator = torch.Generator().manual_seed(settings.seed)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        policy = PolicyNet(learned.features.shape[1], learned.scores.shape[1], settings.hidden)
        # The batch mean is too noisy a baseline near the price at which audio pays off: with it, 4
        # of the 12 policies on digits at such prices always skipped.
        baseline = PolicyNet(learned.features.shape[1], 1, settings.hidden)
    policy.normalise(learned.features)
    baseline.normalise(learned.features)
    last = policy.net[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():  # the initial policy always skips
        last.weight.mul_(0.01)
        last.bias.copy_(torch.tensor([2.0] + [0.0] * (len(last.bias) - 1)))
    steps = -(-settings.decisions // settings.batch)
    weights = [*policy.net.parameters(), *baseline.net.parameters()]
    optimizer = torch.optim.Adam(weights, lr=settings.lr)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    features = torch.from_numpy(learned.features)
    reward = torch.from_numpy(learned.scores - settings.price * learned.seconds)
    lost = torch.from_numpy(learned.scores[:, :1] - learned.scores)  # compared with the base
    vl_examples = torch.from_numpy(learned.vl_examples)
    allowed, multiplier = settings.floor * (1 - settings.reserve), 1.0
    history: list[Evaluation] = []
    safe = {name: value.clone() for name, value in policy.state_dict().items()}
    for step in range(1, steps + 1):
        rows = torch.randint(len(learned), (settings.batch,), generator=generator)
        log_p = policy(features[rows]).log_softmax(dim=1)
        drawn = torch.multinomial(log_p.detach().exp(), 1, generator=generator)
        rewards = reward[rows].gather(1, drawn).squeeze(1)
        vl_loss = lost[rows].gather(1, drawn).squeeze(1) * vl_examples[rows]
        returns = rewards - multiplier * vl_loss
        entropy = -(log_p.exp() * log_p).sum(dim=1).mean()
        advantage = returns - baseline(features[rows]).squeeze(1)
        objective = (log_p.gather(1, drawn).squeeze(1) * advantage.detach()).mean()
        optimizer.zero_grad(set_to_none=True)
        (advantage.square().mean() - objective - settings.entropy * entropy).backward()
        optimizer.step()
        schedule.step()
        decisions = min(settings.decisions, step * settings.batch)
        if step * settings.batch % settings.evaluate_every < settings.batch or (
            decisions == settings.decisions
        ):
            kept = _vl_drop(policy, (learned, held)) <= allowed
            multiplier = max(0.0, multiplier + (4.0 if not kept else -0.1))
            if kept:
                safe = {name: value.clone() for name, value in policy.state_dict().items()}
            else:
                policy.load_state_dict(safe)
            history.append(_evaluate(policy, checked, settings.price, decisions, multiplier, kept))
    policy.load_state_dict(safe)
    return policy.eval(), history


def _vl_drop(policy: PolicyNet, parts: Sequence[Outcomes]) -> float:
    """VL drop over all parts together."""
    shares = [int(part.vl_examples.sum()) for part in parts]
    drops = [part.vl_drop(policy.actions(part.features)) for part in parts]
    return float(np.average(drops, weights=shares))


def _evaluate(
    policy: PolicyNet,
    checked: Outcomes,
    price: float,
    decisions: int,
    multiplier: float,
    kept: bool,
) -> Evaluation:
    actions = policy.actions(checked.features)
    return Evaluation(
        decisions=decisions,
        reward=checked.reward(actions, price),
        vl_drop=checked.vl_drop(actions),
        skip_rate=float((actions == 0).mean()),
        multiplier=multiplier,
        kept=kept,
    )


def distil(
    teacher: PolicyNet, features_NF: np.ndarray, into: Sequence[int], *, steps: int = 400
) -> PolicyNet:
    """Distil a policy into a linear one, which can be inspected.

    Trained on the teacher's probabilities (Hinton et al. 2015, arXiv:1503.02531) with full batches.

    Args:
        into: for each action of the teacher, the student's action; probabilities of actions that
            are mapped to the same one are added.
    """
    features = torch.from_numpy(features_NF)
    with torch.no_grad():
        probabilities = teacher(features).softmax(dim=1)
    targets = probabilities.new_zeros(len(probabilities), max(into) + 1)
    targets.index_add_(1, torch.tensor(into), probabilities)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        student = PolicyNet(features.shape[1], targets.shape[1], hidden=0)
    student.mean.copy_(teacher.mean)
    student.scale.copy_(teacher.scale)
    optimizer = torch.optim.Adam(student.net.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        (-(targets * student(features).log_softmax(dim=1)).sum(dim=1).mean()).backward()
        optimizer.step()
    return student.eval()
