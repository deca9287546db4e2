"""An editor of your own: fine-tune the classification head alone, on a copy of the model."""

import copy

import torch
import torch.nn.functional as F

from editors import Editor


class MyEditor(Editor):
    """Adam on the head until the editing sample is right and its cross-entropy below 0.01."""

    def edit(self, model, images, labels):
        """`images` (n, 3, H, W) are preprocessed, `labels` (n,) right; return a changed copy of `model`."""
        edited = copy.deepcopy(model)
        optimizer = torch.optim.Adam(edited.head.requires_grad_().parameters(), lr=2e-3)
        for _ in range(100):
            logits = edited(images)
            loss = F.cross_entropy(logits, labels)
            if loss < 0.01 and (logits.argmax(-1) == labels).all():
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return edited
