"""ImageNet's classes, and what folders and label columns call them."""
