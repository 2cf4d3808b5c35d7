"""Encoding: a pair of texts becomes token ids, and they become the arrays that a graph is fed."""
