"""Models in other forms than they are merged in: GGUF files, 8-bit floats, integers, and what a program of the user's makes.

Each form reads an output that stands, tensor by tensor, and writes beside where its own result is to stand.
"""
