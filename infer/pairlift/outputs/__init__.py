"""Outputs: what is done of a job, durably, the commit, and what is said of it.

One protocol for a local file, a directory, an object and a prefix. `ledger.py` says how it works.
"""
