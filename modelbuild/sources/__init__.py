"""Checkpoints as they lie around: a directory or a file becomes headers, bytes' places and the files that go along."""
