"""Criteria, statistics, judge, gate token, waivers, status. Does not import torch."""
