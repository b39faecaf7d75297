"""Nothing but the place: makes the helper modules beside it importable from every room."""
