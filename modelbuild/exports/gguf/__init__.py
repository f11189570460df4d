"""GGUF files, which llama.cpp and what rests on it run.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.  What is written is packed by the package `gguf`.
"""
