"""How far the model has drifted from its base on questions the base answers by itself.

Shape legend: B rows, T answer tokens, V vocabulary. Computed in float64 with numpy alone, so that
nothing is shared with the loss that a training may have minimised.
"""

from __future__ import annotations

import numpy as np


def answer_kl(
    teacher_logits: np.ndarray, student_logits: np.ndarray, mask: np.ndarray
) -> tuple[float, np.ndarray]:
    """KL(teacher || student) of the next-token distributions, in nats per answer token.

    Sum over v of p(v) * (log p(v) - log q(v)) (Kullback and Leibler 1951), p of the teacher and q
    of the student, each the softmax of its logits.

    Args:
        teacher_logits, student_logits: (B, T, V) of the same positions; a logit may be -inf.
        mask: (B, T), 1 or True where there is an answer token; what else the rows hold is not read.

    Returns:
        The mean over all answer tokens; and (B,) float64, the mean over each row's own tokens,
        NaN where a row has none. Infinite where the student excludes what the teacher may say.

    Raises:
        ValueError: shapes that do not fit, no answer token, or logits that give no distribution.
    """
    teacher, student = np.asarray(teacher_logits), np.asarray(student_logits)
    answer = np.asarray(mask)
    if teacher.ndim != 3 or teacher.shape != student.shape or answer.shape != teacher.shape[:2]:
        raise ValueError(
            f"teacher {teacher.shape}, student {student.shape} and mask {answer.shape} should be "
            "(B, T, V), (B, T, V) and (B, T)"
        )
    if not np.isin(answer, (0, 1)).all():
        raise ValueError("the mask holds other values than 0 and 1")
    answer = answer.astype(bool)
    tokens = answer.sum(axis=1)
    if not tokens.any():
        raise ValueError("the mask has no answer token")
    sums = np.zeros(len(teacher))
    for row, chosen in enumerate(answer):  # a row at a time: float64 logits of all rows are large
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
    if not np.isfinite(highest).all():  # NaN and +inf win over all others
        raise ValueError(f"the {name}'s logits hold NaN or +inf, or a position all of -inf")
    shifted = values - highest
    log_probs: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return log_probs


def _divergence(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """(N,) of (N, V); never below 0 but for rounding, which is taken off."""
    p = np.exp(log_p)
    possible = p > 0  # 0 * log 0 is 0
    difference = np.zeros_like(p)
    np.subtract(log_p, log_q, out=difference, where=possible)
    return np.maximum((p * difference).sum(axis=-1), 0.0)
