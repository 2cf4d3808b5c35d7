"""Encoding: turns pairs of texts into token ids, and token ids into the arrays that a graph takes."""
