"""Outputs: which chunks of a job are done, durably, and the commit.

One protocol for a local file, a directory, an object and a prefix. `ledger.py` says how it works.
"""
