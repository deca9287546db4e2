"""The paper's method: a hypernetwork, meta-trained on pseudo-samples, that says where to edit."""
