"""A contextual bandit over ways to listen, trained on outcomes that were tabulated beforehand.

An item is a question that is offered a sound. An action is to skip it, or to hear it with so many
audio tokens; its reward is what the answer scores less `price` times the seconds that it takes. The
policy draws an action for an item and sees that one's reward alone; it is trained by REINFORCE
(Williams 1992) with a learned baseline, the reward to expect of the item (Sutton and Barto 2018,
section 13.4). Questions about pictures may lose no more than a floor against the base: a multiplier
on what they lose rises while they lose more (a Lagrangian, as in Altman 1999), and weights that
break the floor on rows known to training are never taken over.

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
    """What every action would give for every item.

    Attributes:
        features: (N, F) float64, known before anything is heard.
        scores: (N, A), 1 where the answer is right.
        seconds: (N, A), what answering takes.
        seeing: (N,) bool, questions about pictures alone.
        groups: N keys; items with one key come from one recording or picture.
    """

    features: np.ndarray
    scores: np.ndarray
    seconds: np.ndarray
    vl_examples: np.ndarray
    groups: tuple[str, ...]

    def __post_init__(self) -> None:
        shapes = {len(self.features), len(self.scores), len(self.seconds), len(self.vl_examples)}
        if shapes != {len(self.groups)} or self.scores.shape != self.seconds.shape:
            raise DataError("features, scores, seconds, kinds and keys are not of the same items")
        for name in ("features", "scores", "seconds"):
            if not np.isfinite(getattr(self, name)).all():
                raise DataError(f"{name} of the outcomes hold a number that is not finite")

    def __len__(self) -> int:
        return len(self.groups)

    def take(self, rows: np.ndarray) -> Outcomes:
        """Some of the items."""
        return replace(
            self,
            features=self.features[rows],
            scores=self.scores[rows],
            seconds=self.seconds[rows],
            vl_examples=self.vl_examples[rows],
            groups=tuple(self.groups[i] for i in np.flatnonzero(rows)),
        )

    def reward(self, actions: np.ndarray, price: float) -> float:
        """Mean of score less `price` times seconds, under `actions`, (N,)."""
        gained = self.scores - price * self.seconds
        return float(gained[np.arange(len(self)), actions].mean())

    def vl_drop(self, actions: np.ndarray) -> float:
        """Share of VL questions that the base answers rightly, less that under `actions`, (N,)."""
        if not self.vl_examples.any():
            raise DataError("there is no question about pictures to hold the floor by")
        got = self.scores[np.arange(len(self)), actions]
        return float((self.scores[:, 0] - got)[self.vl_examples].mean())


@dataclass(frozen=True, slots=True)
class BanditSettings:
    """How a policy is trained.

    Attributes:
        price: alpha, reward lost per second.
        decisions: actions drawn, all in all.
        lr: at the start; it falls linearly to 0.
        floor: VL accuracy that may be lost; `reserve` of it is kept back while training.
        evaluate_every: decisions between two looks at the held-back rows.
    """

    price: float
    decisions: int = 50_000
    batch: int = 64
    hidden: int = 32
    lr: float = 1e-2
    floor: float = 0.005
    reserve: float = 0.8  # what a policy loses elsewhere scatters about what it loses here
    entropy: float = 0.05  # with 0.01 it may settle on short listening before it tries long
    evaluate_every: int = 2_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.price < float("inf"):
            raise ConfigError(
                f"a price of {self.price} per second rewards waiting",
                key="policy.latency_weights",
                hint="give 0 or more",
            )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A look at the policy in force, on rows that neither its learning nor its floor has seen.

    Attributes:
        reward, vl_drop, skip_rate: under greedy actions; `vl_drop` is the share of VL answers lost
            against the base.
        kept: the newest weights were taken over; else the ones before came back.
    """

    decisions: int
    reward: float
    vl_drop: float
    skip_rate: float
    multiplier: float
    kept: bool


class PolicyNet(nn.Module):
    """(N, F) features to (N, A) preferences; features are brought to mean 0 and deviation 1."""

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
        """Take mean and deviation from these items."""
        self.mean.copy_(torch.from_numpy(features_NF.mean(axis=0)))
        spread = torch.from_numpy(features_NF.std(axis=0))
        self.scale.copy_(torch.where(spread > 1e-9, spread, torch.ones_like(spread)))

    def forward(self, features_NF: Tensor) -> Tensor:
        preferences: Tensor = self.net((features_NF - self.mean) / self.scale)
        return preferences

    @torch.no_grad()
    def actions(self, features_NF: np.ndarray) -> np.ndarray:
        """(N,) the preferred action of each item; of equals the first, which listens least."""
        found: np.ndarray = self(torch.from_numpy(features_NF)).argmax(dim=1).numpy()
        return found


def hold_back(groups: Sequence[str], share: float, seed: int) -> np.ndarray:
    """(N,) bool: items that are not learned from, whole groups of them.

    Raises:
        DataError: fewer than two groups.
    """
    keys = sorted(set(groups))
    if len(keys) < 2:
        raise DataError("one recording or picture alone cannot be parted in two")
    order = np.random.default_rng([seed, 12]).permutation(len(keys))
    count = min(len(keys) - 1, max(1, round(share * len(keys))))
    held = {keys[i] for i in order[:count]}
    return np.array([group in held for group in groups])


def train_bandit(
    learned: Outcomes, held: Outcomes, checked: Outcomes, settings: BanditSettings
) -> tuple[PolicyNet, list[Evaluation]]:
    """A policy, and every evaluation on the way.

    Args:
        learned: items that actions are drawn for.
        held: items that the floor is enforced on, beside those learned from.
        checked: items that every evaluation looks at. No two of the three share a group.

    Raises:
        DataError: two of them share a group.
    """
    for one, other in combinations((learned, held, checked), 2):
        shared = set(one.groups) & set(other.groups)
        if shared:
            raise DataError(
                f"{len(shared)} recordings or pictures are in two of the rows to learn from, to "
                f"hold the floor by and to check, such as {min(shared)}",
                hint="part the items by `hold_back`",
            )
    generator = torch.Generator().manual_seed(settings.seed)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        policy = PolicyNet(learned.features.shape[1], learned.scores.shape[1], settings.hidden)
        # Near the price at which listening pays, the batch's mean is too noisy a baseline: with it
        # 4 of the digits' 12 policies at such prices never listened.
        baseline = PolicyNet(learned.features.shape[1], 1, settings.hidden)
    policy.normalise(learned.features)
    baseline.normalise(learned.features)
    last = policy.net[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():  # begin as the base: skip, whatever the question
        last.weight.mul_(0.01)
        last.bias.copy_(torch.tensor([2.0] + [0.0] * (len(last.bias) - 1)))
    steps = -(-settings.decisions // settings.batch)
    weights = [*policy.net.parameters(), *baseline.net.parameters()]
    optimizer = torch.optim.Adam(weights, lr=settings.lr)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    features = torch.from_numpy(learned.features)
    reward = torch.from_numpy(learned.scores - settings.price * learned.seconds)
    lost = torch.from_numpy(learned.scores[:, :1] - learned.scores)  # against the base
    vl_examples = torch.from_numpy(learned.vl_examples)
    allowed, multiplier = settings.floor * (1 - settings.reserve), 1.0
    history: list[Evaluation] = []
    safe = {name: value.clone() for name, value in policy.state_dict().items()}
    for step in range(1, steps + 1):
        rows = torch.randint(len(learned), (settings.batch,), generator=generator)
        log_p = policy(features[rows]).log_softmax(dim=1)
        drawn = torch.multinomial(log_p.detach().exp(), 1, generator=generator)
        seen = reward[rows].gather(1, drawn).squeeze(1)
        harm = lost[rows].gather(1, drawn).squeeze(1) * vl_examples[rows]
        worth = seen - multiplier * harm
        spread = -(log_p.exp() * log_p).sum(dim=1).mean()
        unexpected = worth - baseline(features[rows]).squeeze(1)
        gained = (log_p.gather(1, drawn).squeeze(1) * unexpected.detach()).mean()
        optimizer.zero_grad(set_to_none=True)
        (unexpected.square().mean() - gained - settings.entropy * spread).backward()
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
            history.append(_look(policy, checked, settings.price, decisions, multiplier, kept))
    policy.load_state_dict(safe)
    return policy.eval(), history


def _vl_drop(policy: PolicyNet, parts: Sequence[Outcomes]) -> float:
    """Over all parts together."""
    shares = [int(part.vl_examples.sum()) for part in parts]
    drops = [part.vl_drop(policy.actions(part.features)) for part in parts]
    return float(np.average(drops, weights=shares))


def _look(
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
    """A linear policy that does as the teacher does: small enough to be read.

    Trained on the teacher's probabilities (Hinton et al. 2015, arXiv:1503.02531), full batches.

    Args:
        into: of each action of the teacher's, the student's that it becomes; where several become
            one, that one is as likely as they are together.
    """
    features = torch.from_numpy(features_NF)
    with torch.no_grad():
        likely = teacher(features).softmax(dim=1)
    wanted = likely.new_zeros(len(likely), max(into) + 1)
    wanted.index_add_(1, torch.tensor(into), likely)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        student = PolicyNet(features.shape[1], wanted.shape[1], hidden=0)
    student.mean.copy_(teacher.mean)
    student.scale.copy_(teacher.scale)
    optimizer = torch.optim.Adam(student.net.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        (-(wanted * student(features).log_softmax(dim=1)).sum(dim=1).mean()).backward()
        optimizer.step()
    return student.eval()
