"""A word-level tokenizer with OPT's special tokens, saved like any Hugging Face tokenizer."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

BOS, PAD, EOS, UNK, IMAGE = "<s>", "<pad>", "</s>", "<unk>", "<image>"
SPECIAL = (BOS, PAD, EOS, UNK)  # ids 0..3, as in OPT's and RoBERTa's vocabularies
# The prompt's two fixed words include their colons, which saves tokens.
WORD = r"\b(?:question|answer):|\w+(?:[-']\w+)*|[^\w\s]"


def words_of(text: str) -> list[str]:
    """Return the words and punctuation marks of `text` in lower case."""
    return re.findall(WORD, text.lower())


def build_tokenizer(texts: Iterable[str], *, end: bool = False) -> PreTrainedTokenizerFast:
    """Build a tokenizer with every word of `texts`.

    Args:
        texts: texts that the model reads or writes, in any order.
        end: append the end token to each text (CLAP's text tower); if false, only the start token
            is added (a prompt for the language model to continue).
    """
    words = sorted({word for text in texts for word in words_of(text)})
    vocabulary = {token: index for index, token in enumerate((*SPECIAL, *words))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=UNK))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), behavior="removed", invert=True)
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    single = f"{BOS} $A {EOS}" if end else f"{BOS} $A"
    tokenizer.post_processor = TemplateProcessing(
        single=single, special_tokens=[(BOS, vocabulary[BOS]), (EOS, vocabulary[EOS])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNK,
        padding_side="right" if end else "left",
        model_max_length=64,
        clean_up_tokenization_spaces=False,
    )
