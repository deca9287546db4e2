"""ImageNet's classes, and their names in folders and label columns."""
