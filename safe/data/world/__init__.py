"""The miniature world: scenes, sounds and questions whose truth is known."""
