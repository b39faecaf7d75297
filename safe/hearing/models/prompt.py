"""Prompt and answer format, the same for training and evaluation."""

from __future__ import annotations


def build_prompt(question: str) -> str:
    """Return BLIP-2's documented VQA prompt, `Question: ... Answer:`.

    Runs of white space become one space, so that line breaks in a file do not change the tokens.
    Case is not changed.
    """
    return f"Question: {' '.join(question.split())} Answer:"


def answer_text(answer: str) -> str:
    """Return the answer with a leading space, as OPT's byte-level BPE expects.

    The prompt ends with a colon and no space, so `prompt + answer_text(answer)` is the training
    text. The caller appends the end-of-sequence token.
    """
    return " " + " ".join(answer.split())


def clean_answer(text: str) -> str:
    """Return the first line of a decoded generation, with single spaces between words."""
    lines = text.strip().splitlines()
    return " ".join(lines[0].split()) if lines else ""
