"""Deployment: the runner and a bundle made into what AWS Lambda runs."""
