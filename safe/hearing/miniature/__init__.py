"""The miniature: a generated world, released models, and how they are trained."""
