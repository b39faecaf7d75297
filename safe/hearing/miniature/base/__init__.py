"""Miniature BLIP-2 and CLAP, trained from scratch in stages and saved as Hugging Face folders."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"  # released weights, one folder per miniature
CARD = "card.json"
