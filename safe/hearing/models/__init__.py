"""The base (BLIP-2), the ear (CLAP), the projector, SafeModel and its gating policies."""
