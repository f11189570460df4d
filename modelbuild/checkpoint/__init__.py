"""Checkpoints on disk: safetensors headers and bytes, what a tensor's name says, config.json."""
