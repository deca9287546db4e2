"""The splits that edits are judged on, by name. The last two came later, and are not in every data set."""

from __future__ import annotations

EDIT = "edit"
LOCALITY = "locality"
TAKEN = "locality_taken"
FAR = "locality_far"
UNGROUPED = (LOCALITY, TAKEN, FAR)
