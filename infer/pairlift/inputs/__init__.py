"""Inputs: which files a job reads, which rows they have, and in which chunks."""
