"""The paper's method: a hypernetwork, meta-trained on pseudo-samples, that picks the units to edit."""
