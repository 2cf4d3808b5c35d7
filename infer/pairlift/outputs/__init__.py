"""Outputs: the durable record of a job's finished chunks, and the commit.

A local file, a directory, an object and a prefix share one protocol, which `ledger.py` describes.
"""
