"""Result of scoring: named figures, each with a value or the reason why it is unavailable."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A value; or None, with the reason why it is unavailable."""

    value: float | None
    reason: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) != (self.reason is not None):
            raise ValueError("a figure must have either a value or a reason")


@dataclass(frozen=True)
class Scored:
    """The figures of one results file.

    Attributes:
        task: scoring rules, such as `vqav2`.
        n: number of scored items.
        figures: name -> figure; figures of a group are named `GROUP.NAME`, such as
            `by_answer_type.yes/no`.
        counts: other counts, such as questions without an answer.
        unit: unit of the figures; `%` for accuracies.
        sizes: figure -> number of items, if it is not n.
        notes: how figures were computed, such as the tokenizer.
    """

    task: str
    n: int
    figures: dict[str, Figure]
    counts: dict[str, int]
    unit: str = ""
    sizes: dict[str, int] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values; `unavailable` contains the reasons."""
        return {
            "task": self.task,
            "n": self.n,
            "unit": self.unit,
            "figures": {name: figure.value for name, figure in self.figures.items()},
            "unavailable": {n: f.reason for n, f in self.figures.items() if f.value is None},
            "counts": self.counts,
            "sizes": self.sizes,
            "notes": self.notes,
        }

    def as_text(self) -> str:
        """Return a table as text, with groups after the figures of all items."""
        counted = ", ".join(
            f"{count} {name.replace('_', ' ')}" for name, count in self.counts.items() if count
        )
        lines = [f"{self.task}: {self.n} items" + (f" ({counted})" if counted else "")]
        width = max((len(_label(name)) for name in self.figures), default=0)
        group = ""
        for name in sorted(self.figures, key=lambda name: ("." in name, _group(name))):
            if _group(name) != group:
                group = _group(name)
                lines.append(group)
            lines.append(f"  {_label(name):<{width}}  {self._shown(name)}")
        lines += [f"{name}: {printable(note)}" for name, note in self.notes.items()]
        return "\n".join(lines)

    def _shown(self, name: str) -> str:
        figure = self.figures[name]
        if figure.value is None:
            return f"unavailable: {figure.reason}"
        if self.unit == "%":
            return f"{figure.value:6.2f} %  of {self.sizes.get(name, self.n)}"
        return f"{figure.value:8.4f}" + (f" {self.unit}" if self.unit else "")


def _group(name: str) -> str:
    return name.partition(".")[0] if "." in name else ""


def _label(name: str) -> str:
    """Return the name within its group."""
    return printable(name.partition(".")[2] if "." in name else name)


def printable(text: str) -> str:
    """Escape the unprintable characters of text from an external file."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
