"""The launch checklist page. Imports no torch."""
