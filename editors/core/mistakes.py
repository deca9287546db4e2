"""An error of a stranger's editor in one line: what was raised, where in its code, and what to write instead."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from benchmark.core.blame import raised_at, strangers_frame
from benchmark.core.errors import message_line

# what Python or torch says, or a line end and the line of code that raised it -> what to write instead
HINTS: tuple[tuple[str, str], ...] = (
    (
        r"does not require grad|optimizer got an empty parameter list",
        "the model is frozen: call edited.requires_grad_() on the copy, and train it outside torch.no_grad()",
    ),
    (r"leaf Variable that requires grad", "change weights under torch.no_grad()"),
    (r"'NoneType'[^\n]*\n.*\.grad\b", "a weight that the loss does not reach has no grad; leave it out"),
    (r"'NoConfig' object has no", "settings are fields of a frozen dataclass; name it in the class: Config = ..."),
    (r"has no attribute 'config'", "leave __init__ out, or call super().__init__(config) in it"),
    (r"object has no attribute '(\w+)'\n.*\bself\.\1\b", "if it is a setting, write self.config.{0}"),
    (r"FrozenInstanceError", "settings stay as they are; keep on self what changes"),
    (
        r"'TrainingImages' object is not|TrainingImages\.images\(\)|'(?:function|method)' object[^\n]*\n.*\.images\b"
        r"|object of type '\w+' has no len\(\)\n.*\.images\(",
        "training images have len(training), training.labels and training.images(rows), rows such as range(64)",
    ),
    (r"No module named '(\w+)'", "install what holds it, or put {0}.py beside the editor's file"),
    (r"'(\w+)' is a field but has no type", "write {0}: float = knob(...)"),
    (r"name '(Editor|WeightEdit|TailEdit|ModuleEdit|FailedEdit|Cut|knob)' is not", "write: from editors import {0}"),
    (r"required positional argument: 'cut'", "write cut=Cut(block), with: from editors import Cut"),
    (r"values to unpack \(expected 4", "images are (n, 3, H, W) and labels (n,) already"),
    (
        r"NVIDIA driver|not compiled with CUDA|Expected all tensors to be on the same device",
        "put tensors where the images are: .to(images.device); --device chooses the place",
    ),
    (r"Input type .* should be the same", "leave the copy in torch.float32"),
)


def explained(error: BaseException, source: Path | None = None, where: str = "") -> str:
    """Return ``RuntimeError: ... (my_editor.py, line 12); what to write instead``, the last where a hint is known.

    `source` is the editor's file, `where` a place in it for an error that has none of its own.
    """
    frame = strangers_frame(error, source)
    reason = ": ".join(dict.fromkeys([type(error).__name__, message_line(error)]))
    text = f"{type(error).__name__}: {message_line(error)}\n{frame.line if frame else ''}"
    hints = [_hidden(text, source)]
    hints += [hint.format(*match.groups()) for pattern, hint in HINTS if (match := re.search(pattern, text))]
    hint = next(filter(None, hints), "")
    return reason + (raised_at(error, source) or where) + (f"; {hint}" if hint else "")


def _hidden(text: str, source: Path | None) -> str:
    """A hint where a module beside `source` has the name of another that Python takes instead."""
    match = re.search(r"(?:cannot import name '\w+' from|module) '?(\w+)", text)
    module = sys.modules.get(match[1]) if match else None
    taken = getattr(module, "__file__", None)
    if match is None or source is None or taken is None:
        return ""
    for beside in (source.resolve().parent / f"{match[1]}.py", source.resolve().parent / match[1]):
        if beside.exists() and not Path(taken).resolve().is_relative_to(beside):
            return f"{beside.name} beside it has the name of another module, which is taken instead; rename it"
    return ""
