"""The miniature: a generated world, released models, and their training."""

from safe.hearing.data.layouts import register_layout

register_layout("digits", "safe.hearing.miniature.digits_layout")
