"""The cache, on disk and under attack."""
