"""Editing methods. An editor turns one failure into an `Edit`; nothing here scores."""

from __future__ import annotations

from benchmark.core.moved import tell_moved

tell_moved(
    modules={
        "editors.base": "from editors import Editor, Edit, knob",
        "editors.vit": "from benchmark.models import vit",
    },
    commands={f"editors.{name}.train": f"python -m editors.train {name}" for name in ("hypernetwork", "ke", "mend")},
)
