"""The base (BLIP-2), the audio encoder (CLAP), the projector, SafeModel and its gating policies."""
