"""Shared by the trained editors: images, views, the training loop, checkpoints and curves."""
