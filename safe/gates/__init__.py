"""Criteria, statistics, judge, gate token, waivers, ledger. Imports no torch."""
