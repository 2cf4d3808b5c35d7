"""Storage: open files and objects (`s3://bucket/key`), detect their changes by stamps, and write them atomically.

boto3 is imported only when an `s3://` name is used.
"""
