"""Calibration error and AUROC, by torchmetrics, from numpy arrays to a float."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Values = np.ndarray | Sequence[float]
Labels = np.ndarray | Sequence[bool]


def expected_calibration_error(confidence: Values, correct: Labels, bins: int = 15) -> float:
    """Compute the expected calibration error over bins of equal width.

    Sum over bins of n_b / N * |accuracy_b - mean confidence_b| (Naeini et al. 2015; Guo et al.
    2017 use 15 bins). A bin contains its lower edge; the last bin also contains 1.

    Args:
        confidence: (N,) probabilities of the predicted answers.
        correct: (N,) bool, or 0 and 1.

    Returns:
        Value in [0, 1]; 0 is perfectly calibrated.

    Raises:
        ValueError: there are no items, lengths differ, or values are not probabilities or not 0
            and 1.
    """
    import torch
    from torchmetrics.functional.classification import binary_calibration_error

    values, labels = _checked(confidence, correct, "confidence", "correct")
    if values.min() < 0 or values.max() > 1:
        raise ValueError(f"confidence has values from {values.min()} to {values.max()}, not [0, 1]")
    if bins < 1:
        raise ValueError(f"{bins} bins: at least one is needed")
    inside = np.minimum(values, np.nextafter(1.0, 0.0))  # torchmetrics puts 1.0 into an extra bin
    found = binary_calibration_error(
        torch.from_numpy(inside), torch.from_numpy(labels), n_bins=bins, norm="l1"
    )
    return float(found)


def auroc(scores: Values, labels: Labels) -> float:
    """Compute the area under the ROC curve: P(positive > negative) + P(positive = negative) / 2.

    The error is about 1e-7, as torchmetrics sums in float32.

    Args:
        scores: (N,) finite, on any scale; only their order matters.
        labels: (N,) bool, or 0 and 1; 1 is positive.

    Raises:
        ValueError: there are no items, lengths differ, values are not finite, or only one class.
    """
    import torch
    from torchmetrics.functional.classification import binary_auroc

    values, positive = _checked(scores, labels, "scores", "labels")
    if positive.all() or not positive.any():
        raise ValueError(f"all {positive.size} labels are {positive[0]}: both classes are needed")
    # torchmetrics applies a sigmoid to scores outside [0, 1], which ties large ones: use ranks.
    distinct, rank = np.unique(values, return_inverse=True)
    return float(binary_auroc(torch.from_numpy(rank / distinct.size), torch.from_numpy(positive)))


def _checked(
    values: Values, labels: Labels, values_name: str, labels_name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return (N,) float64 values and (N,) int64 labels of 0 and 1."""
    numbers, classes = np.asarray(values, dtype=np.float64), np.asarray(labels)
    if numbers.ndim != 1 or numbers.shape != classes.shape:
        raise ValueError(
            f"{values_name} {numbers.shape} and {labels_name} {classes.shape} must both have the "
            "shape (N,)"
        )
    if not numbers.size:
        raise ValueError(f"{values_name} is empty")
    if not np.isfinite(numbers).all():
        raise ValueError(f"{values_name}: {(~np.isfinite(numbers)).sum()} values are not finite")
    if not np.isin(classes, (0, 1)).all():
        raise ValueError(f"{labels_name} has values other than 0 and 1")
    return numbers, classes.astype(np.int64)
