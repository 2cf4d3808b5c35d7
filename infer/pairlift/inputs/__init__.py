"""Inputs: finds the files of a job, their rows and their chunks."""
