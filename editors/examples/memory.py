"""An editor of your own that changes no weight: a memory of the edited image, beside the model's last block."""

import torch
import torch.nn.functional as F

from editors import Cut, Editor, TailEdit, forward_prefix, forward_tail

RADIUS = 0.3  # an image is like the edited one if its token is nearer than this share of that one's length


class MyEditor(Editor):
    """Answer with the edited image's label wherever the [cls] token before the last block is near to its own."""

    def edit(self, model, images, labels):
        """`images` (n, 3, H, W) are preprocessed, `labels` (n,) right; return a function of tokens, and its place."""
        cut = Cut(len(model.blocks) - 1)  # what lies before it is computed once an image, for all edits
        keys = forward_prefix(model, images, cut)[:, 0]  # of tokens (n, T, N) the first is [cls]

        def tail(tokens):
            """Logits (m, classes) of the tokens (m, T, N) of any images."""
            logits = forward_tail(model, tokens, cut, {})  # those of the base; {} stands for other weights
            distances, nearest = torch.cdist(tokens[:, 0], keys).min(dim=1)
            is_near = (distances < RADIUS * keys[nearest].norm(dim=1))[:, None]
            return logits + 1000 * is_near * F.one_hot(labels[nearest], logits.shape[1])

        return TailEdit(tail, cut)
