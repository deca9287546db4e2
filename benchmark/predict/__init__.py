"""The one engine that runs models over images, its store, and Ray."""
