"""Storage: files and objects (`s3://bucket/key`), opened, known by their stamps, and written whole.

Nothing here imports boto3 before an `s3://` name is used.
"""
