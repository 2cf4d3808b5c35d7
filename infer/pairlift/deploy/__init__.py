"""Deployment: packages the runner and a bundle for AWS Lambda."""
