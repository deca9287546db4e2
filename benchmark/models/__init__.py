"""Base models: loading, identity, and one file a family of ViT."""
