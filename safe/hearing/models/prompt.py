"""How a question is put to the language model: one wording for training and evaluation."""

from __future__ import annotations


def build_prompt(question: str) -> str:
    """BLIP-2's documented form for visual question answering, `Question: ... Answer:`.

    Runs of white space become one blank, so that a question read from a file with line breaks
    and the same question typed by hand give the same tokens. Case is left to the tokenizer.
    """
    return f"Question: {' '.join(question.split())} Answer:"


def answer_text(answer: str) -> str:
    """The answer as it follows the prompt: a leading blank, as OPT's byte-level BPE expects.

    The prompt ends in a colon without a blank, so `prompt + answer_text(answer)` is the text the
    language model is trained on; an end-of-sequence token is appended by the caller.
    """
    return " " + " ".join(answer.split())


def clean_answer(text: str) -> str:
    """A decoded generation as an answer: stripped, first line only, white space folded."""
    lines = text.strip().splitlines()
    return " ".join(lines[0].split()) if lines else ""
