"""Miniature BLIP-2 and CLAP, trained from scratch in stages, saved as Hugging Face folders."""
