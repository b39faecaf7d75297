"""Variance components over seeds: item noise and differences between trainings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any


@dataclass(frozen=True, slots=True)
class SeedComponents:
    """Variance components of the mean score of a seed.

    Attributes:
        seeds, items, clusters: size of the table; without clusters, `clusters` equals `items`.
        residual: variance of a single score after removing the effects of its seed and item.
        item_noise: contribution of the residual to the variance of a seed's mean, by cluster.
        between: variance between the means minus the item noise, at least 0.
        total: sample variance of the means.
        design_effect: `item_noise` divided by its value for independent items.
    """

    seeds: int
    items: int
    clusters: int
    residual: float
    item_noise: float
    between: float
    total: float
    design_effect: float

    def as_dict(self) -> dict[str, Any]:
        """Return the fields and the standard deviations, which are comparable with the bound."""
        return asdict(self) | {
            "sd": sqrt(self.total),
            "item_noise_sd": sqrt(self.item_noise),
            "between_seeds_sd": sqrt(self.between),
        }


def seed_components(
    scores: Sequence[Sequence[float]] | Any, clusters: Sequence[Any] | None = None
) -> SeedComponents:
    """Split the variance over seeds of a seeds x items table.

    The model is the two-way layout with random effects and one score per cell,
    `y_ij = m + s_i + t_j + e_ij` for seed i and item j. All seeds answer the same items, so the
    item effects t_j are the same in every mean and cancel. The expected sample variance of the
    means is `var(s) + var(e) / n`, and the residual mean square estimates var(e). The estimators
    are those of analysis of variance, truncated at 0 (Searle, Casella and McCulloch 1992, Variance
    Components, chapter 4).

    Items that share a source have correlated residuals. Residuals are summed by cluster before
    squaring, with the correction C / (C - 1) for C clusters (Liang and Zeger 1986). With one item
    per cluster this equals the residual mean square divided by n.

    Args:
        scores: (seeds, items); 1 for a correct answer and 0 for a wrong one.
        clusters: the source of each item.

    Raises:
        ValueError: fewer than 2 seeds or items, a wrong number of labels, a single cluster, or
            scores that are not finite.
    """
    import numpy as np

    table = np.asarray(scores, dtype=float)
    if table.ndim != 2 or min(table.shape) < 2:
        raise ValueError(f"at least 2 seeds and 2 items are needed, not shape {table.shape}")
    if not np.isfinite(table).all():
        raise ValueError("scores must be finite")
    seeds, items = table.shape
    labels = range(items) if clusters is None else clusters
    if len(labels) != items:
        raise ValueError(f"{items} items but {len(labels)} cluster labels")
    _, index = np.unique(np.asarray([str(label) for label in labels]), return_inverse=True)
    count = int(index.max()) + 1
    if count < 2:
        raise ValueError("all items share one source: item noise cannot be estimated")
    means = table.mean(axis=1)
    residuals = table - means[:, None] - table.mean(axis=0)[None, :] + table.mean()
    residual = float((residuals**2).sum()) / ((seeds - 1) * (items - 1))
    sums = np.array([np.bincount(index, row, minlength=count) for row in residuals])
    squares = float((sums**2).sum()) / ((seeds - 1) * items**2)
    item_noise = squares * count / (count - 1)
    total = float(means.var(ddof=1))
    rounding = 1e-12 * float(table.var())  # rounding error where the exact value is 0
    residual, item_noise = (0.0, 0.0) if residual <= rounding else (residual, item_noise)
    total = 0.0 if np.ptp(table, axis=0).max() == 0 else total
    between = total - item_noise
    return SeedComponents(
        seeds=seeds,
        items=items,
        clusters=count,
        residual=residual,
        item_noise=item_noise,
        between=between if between > 1e-12 * total else 0.0,
        total=total,
        design_effect=item_noise * items / residual if residual > 0 else 1.0,
    )
