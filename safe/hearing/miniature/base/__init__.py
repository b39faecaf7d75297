"""Miniature BLIP-2 and CLAP, trained from scratch in stages, saved as Hugging Face folders."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"  # released: a folder for each miniature
CARD = "card.json"
