"""Drift of the model from its base on VL questions.

Shape legend: B examples, T answer tokens, V vocabulary. Computed in float64 with numpy only, so
that no code is shared with the training loss.
"""

from __future__ import annotations

import numpy as np


def answer_kl(
    teacher_logits: np.ndarray, student_logits: np.ndarray, mask: np.ndarray
) -> tuple[float, np.ndarray]:
    """Compute KL(teacher || student) of the next-token distributions, in nats per answer token.

    Sum over v of p(v) * (log p(v) - log q(v)) (Kullback and Leibler 1951), where p and q are the
    softmax of the teacher's and the student's logits.

    Args:
        teacher_logits, student_logits: (B, T, V) of the same positions; a logit may be -inf.
        mask: (B, T), 1 or True at answer tokens; other positions are ignored.

    Returns:
        The mean over all answer tokens; and (B,) float64, the mean over the tokens of each example,
        NaN without tokens. Infinite if q is 0 where p is not.

    Raises:
        ValueError: shapes do not match, there is no answer token, or logits are invalid.
    """
    teacher, student = np.asarray(teacher_logits), np.asarray(student_logits)
    answer = np.asarray(mask)
    if teacher.ndim != 3 or teacher.shape != student.shape or answer.shape != teacher.shape[:2]:
        raise ValueError(
            f"teacher {teacher.shape}, student {student.shape} and mask {answer.shape} should be "
            "(B, T, V), (B, T, V) and (B, T)"
        )
    if not np.isin(answer, (0, 1)).all():
        raise ValueError("the mask has values other than 0 and 1")
    answer = answer.astype(bool)
    tokens = answer.sum(axis=1)
    if not tokens.any():
        raise ValueError("the mask has no answer token")
    sums = np.zeros(len(teacher))
    for row, chosen in enumerate(answer):  # float64 logits of the batch would be large
        if chosen.any():
            log_p = _log_softmax(teacher[row, chosen], "teacher")
            log_q = _log_softmax(student[row, chosen], "student")
            sums[row] = _divergence(log_p, log_q).sum()
    per_row = np.full(len(teacher), np.nan)
    np.divide(sums, tokens, out=per_row, where=tokens > 0)
    return float(sums.sum() / tokens.sum()), per_row


def _log_softmax(logits: np.ndarray, name: str) -> np.ndarray:
    """(N, V) float64 log-probabilities."""
    values = logits.astype(np.float64)
    highest = values.max(axis=-1, keepdims=True)
    if not np.isfinite(highest).all():
        raise ValueError(f"the {name}'s logits contain NaN or +inf, or only -inf at a position")
    shifted = values - highest
    log_probs: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return log_probs


def _divergence(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """(N,) from (N, V); negative values due to rounding are set to 0."""
    p = np.exp(log_p)
    possible = p > 0  # 0 * log 0 is 0
    difference = np.zeros_like(p)
    np.subtract(log_p, log_q, out=difference, where=possible)
    return np.maximum((p * difference).sum(axis=-1), 0.0)
