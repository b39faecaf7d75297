"""The miniature world: scenes, sounds and questions whose truth is known."""

from safe.hearing.miniature.world.write import is_current, write_world

__all__ = ["is_current", "write_world"]
