"""How a question is put to the language model: one wording for training and evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

# The mean colour that BLIP-2's image processor subtracts, so that the pixels come out near zero.
MEAN_COLOUR = (123, 117, 104)


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


def blank_image(side: int = 32) -> Image.Image:
    """What stands for the picture of a question that has none (it is about a sound alone).

    BLIP-2 always embeds a picture; one uniform one, for every such question, says nothing.
    """
    from PIL import Image

    return Image.new("RGB", (side, side), MEAN_COLOUR)
