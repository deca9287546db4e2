"""An editor of your own that changes more than weights: a small network beside the classification head."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from editors import Editor


class Beside(nn.Module):
    """The head as it was, and a network beside it whose answer is zero at first."""

    def __init__(self, head):
        super().__init__()
        self.head, self.down = head, nn.Linear(head.in_features, 8)  # random: from the seed of this very edit
        self.up = nn.Linear(8, head.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, features):
        return self.head(features) + self.up(torch.tanh(self.down(features)))


class MyEditor(Editor):
    """Adam on the network beside the head until the editing sample is right and its cross-entropy below 0.01."""

    def edit(self, model, images, labels):
        """`images` (n, 3, H, W) are preprocessed, `labels` (n,) right; return any module that gives logits."""
        edited = copy.deepcopy(model)
        edited.head = Beside(edited.head).to(images)  # code of your own stays in your process, and is called there
        optimizer = torch.optim.Adam([*edited.head.down.parameters(), *edited.head.up.parameters()], lr=1e-2)
        for _ in range(100):
            loss = F.cross_entropy(edited(images), labels)
            if loss < 0.01:
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return edited
