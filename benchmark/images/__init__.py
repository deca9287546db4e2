"""Decoding, preprocessing, archives, contact sheets, and the one image source with its kinds."""
