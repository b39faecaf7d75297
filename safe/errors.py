"""Errors that a user can fix. Each states where, what is wrong and how to fix it."""

from __future__ import annotations

from pathlib import Path


class SafeError(Exception):
    """An error in the user's input (config, data, checkpoint, machine), not in SAFE.

    Args:
        what: what is wrong, in one sentence.
        where: the file that contains the error; `line` and `key` locate it in the file.
        hint: how the user can fix it.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | Path | None = None,
        line: int | None = None,
        key: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.what, self.where, self.line, self.key, self.hint = what, where, line, key, hint
        place = "" if where is None else str(where)
        if line is not None:
            place += f":{line}"
        if key is not None:
            place += f" [{key}]" if place else f"[{key}]"
        text = f"{place}: {what}" if place else what
        super().__init__(text if hint is None else f"{text}\n  hint: {hint}")


class ConfigError(SafeError):
    """A config or criteria file that cannot be used."""


class DataError(SafeError):
    """An annotation file or dataset folder that does not follow its layout."""


class MediaError(SafeError):
    """One image, sound or video that cannot be decoded; counted per file by the manifest."""


class ModelError(SafeError):
    """A checkpoint that does not fit the base or the config it is loaded with."""


class EvidenceError(SafeError):
    """A measurement, decision or gate token that is missing, broken or was edited by hand."""


class TrainingError(SafeError):
    """Training that cannot continue: a loss or gradient is not finite."""
