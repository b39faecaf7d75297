"""Criteria, statistics, judge, gate token, waivers, status. Imports no torch."""
