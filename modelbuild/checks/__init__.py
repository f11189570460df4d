"""What is measured of a model that stands in a directory: with transformers, and with lm-eval where that is installed.

Nothing here knows a Modelfile's graph or a cache: whoever calls says which model, and keeps what comes out.  No code that comes with
a model is ever run: `trust_remote_code` is False wherever it can be said.
"""
