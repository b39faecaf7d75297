"""Learning rate over optimizer steps."""

from __future__ import annotations

import math


def warmup_cosine(step: int, steps: int, warmup: float) -> float:
    """Return the factor in (0, 1] for step 0 .. steps-1: linear warm-up, then cosine decay.

    The warm-up takes `warmup * steps` steps. Loshchilov and Hutter 2017, without restarts; the last
    factor is above 0.
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    progress = (step - rising) / max(1, steps - rising)
    return 0.5 * (1 + math.cos(math.pi * progress))
