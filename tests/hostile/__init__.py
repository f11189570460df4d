"""What others may put in place of a model, a lock or a cache: nothing of it is run, and nothing beyond it is read or written."""
