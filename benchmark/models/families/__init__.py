"""One file a family of Vision Transformers; a new file is found (`benchmark.models.family`)."""
