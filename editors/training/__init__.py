"""What the trained editors share: images, views, the training loop, checkpoints and curves."""
