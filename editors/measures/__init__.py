"""The speed of edits and of meta-training, measured against plain references."""
