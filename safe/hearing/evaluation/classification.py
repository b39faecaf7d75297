"""Calibration and ranking of scores, by torchmetrics, with numpy in and a float out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Values = np.ndarray | Sequence[float]
Labels = np.ndarray | Sequence[bool]


def expected_calibration_error(confidence: Values, correct: Labels, bins: int = 15) -> float:
    """How far confidence is from accuracy, over bins of equal width, weighted by their items.

    Sum over bins of n_b / N * |accuracy_b - mean confidence_b| (Naeini et al. 2015; Guo et al.
    2017 use 15 bins). A bin holds its lower edge; the last one holds 1 too.

    Args:
        confidence: (N,) probabilities of the answers given.
        correct: (N,) bool, or 0 and 1.

    Returns:
        In [0, 1]; 0 is calibrated.

    Raises:
        ValueError: no items, other lengths, or values that are no probabilities or not 0 and 1.
    """
    import torch
    from torchmetrics.functional.classification import binary_calibration_error

    values, labels = _checked(confidence, correct, "confidence", "correct")
    if values.min() < 0 or values.max() > 1:
        raise ValueError(f"confidence runs from {values.min()} to {values.max()}, not in [0, 1]")
    if bins < 1:
        raise ValueError(f"{bins} bins: at least one is needed")
    inside = np.minimum(values, np.nextafter(1.0, 0.0))  # torchmetrics gives 1.0 a bin of its own
    found = binary_calibration_error(
        torch.from_numpy(inside), torch.from_numpy(labels), n_bins=bins, norm="l1"
    )
    return float(found)


def auroc(scores: Values, labels: Labels) -> float:
    """Area under the ROC curve: P(a positive scores higher than a negative) + P(equal) / 2.

    Good to about 1e-7: torchmetrics adds up in float32.

    Args:
        scores: (N,) finite, on any scale; only their order matters.
        labels: (N,) bool, or 0 and 1; 1 is positive.

    Raises:
        ValueError: no items, other lengths, values that are not finite, or one class only.
    """
    import torch
    from torchmetrics.functional.classification import binary_auroc

    values, positive = _checked(scores, labels, "scores", "labels")
    if positive.all() or not positive.any():
        raise ValueError(f"all {positive.size} labels are {positive[0]}: both classes are needed")
    # torchmetrics squashes scores beyond [0, 1] by a sigmoid, which ties large ones; ranks stay.
    distinct, rank = np.unique(values, return_inverse=True)
    return float(binary_auroc(torch.from_numpy(rank / distinct.size), torch.from_numpy(positive)))


def _checked(
    values: Values, labels: Labels, values_name: str, labels_name: str
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) float64 and (N,) int64 of 0 and 1."""
    numbers, classes = np.asarray(values, dtype=np.float64), np.asarray(labels)
    if numbers.ndim != 1 or numbers.shape != classes.shape:
        raise ValueError(
            f"{values_name} {numbers.shape} and {labels_name} {classes.shape}: one value an item, "
            "in both alike"
        )
    if not numbers.size:
        raise ValueError(f"{values_name} is empty")
    if not np.isfinite(numbers).all():
        raise ValueError(f"{values_name} holds {(~np.isfinite(numbers)).sum()} that are not finite")
    if not np.isin(classes, (0, 1)).all():
        raise ValueError(f"{labels_name} holds other values than 0 and 1")
    return numbers, classes.astype(np.int64)
