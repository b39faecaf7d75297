"""Settings of the evaluation on held-out questions."""

from __future__ import annotations

from safe.hearing.config.basis import Positive, Strict


class HeldOutConfig(Strict):
    """Held-out questions that trainings are evaluated on, in 04 and 08 to 12."""

    vl_items: Positive = 1500
    """VL questions of each dataset, at most."""

    audio_items: Positive = 3000
    """Questions that need their sound of each split, at most."""
