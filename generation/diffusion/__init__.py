"""Stable Diffusion: a token a class, batches and seeds, textual inversion."""
