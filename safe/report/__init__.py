"""The launch checklist page. Does not import torch."""
