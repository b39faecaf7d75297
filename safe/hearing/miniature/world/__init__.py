"""The miniature world: generated scenes, sounds and questions with known truth."""

from safe.hearing.miniature.world.write import is_current, write_world

__all__ = ["is_current", "write_world"]
