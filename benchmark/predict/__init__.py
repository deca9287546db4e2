"""The one engine that asks models about images, its store, and Ray."""
