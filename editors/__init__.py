"""Editing methods. An editor turns one failure into an `Edit`; nothing here scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    from benchmark.core.lazy import lazy
except ImportError as error:  # Python takes a benchmark in the working folder first
    import benchmark

    raise ImportError(f"{benchmark.__file__} hides this project's package benchmark; rename it") from error
from benchmark.core.moved import tell_moved

if TYPE_CHECKING:
    from benchmark.models.vit import Cut, cls_features, forward_prefix, forward_tail
    from editors.core.base import BatchEditor, Editor, TrainingImages, knob
    from editors.core.edit import Edit, FailedEdit, ModuleEdit, TailEdit, WeightEdit
    from editors.core.registry import choose
else:
    __getattr__ = lazy(
        __name__,
        {
            "benchmark.models.vit": ("Cut", "cls_features", "forward_prefix", "forward_tail"),
            "editors.core.base": (
                "BatchEditor",
                "Editor",
                "TrainingImages",
                "knob",
            ),
            "editors.core.edit": (
                "Edit",
                "FailedEdit",
                "ModuleEdit",
                "TailEdit",
                "WeightEdit",
            ),
            "editors.core.registry": ("choose",),
        },
    )

__all__ = [
    "BatchEditor",
    "Cut",
    "Edit",
    "Editor",
    "FailedEdit",
    "ModuleEdit",
    "TailEdit",
    "TrainingImages",
    "WeightEdit",
    "choose",
    "cls_features",
    "forward_prefix",
    "forward_tail",
    "knob",
]

tell_moved(
    modules={
        "editors.base": "from editors import Editor, Edit, knob",
        "editors.vit": "from benchmark.models import vit",
    },
    commands={
        **{f"editors.{name}.train": f"python -m editors.train {name}" for name in ("hypernetwork", "ke", "mend")},
        "editors.example": "python -m leaderboard.new my_editor.py",
    },
)
