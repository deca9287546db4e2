"""Training: the bank of targets, checkpoints, curves and states."""

from __future__ import annotations

from collections.abc import Callable

from tests.survival.cases.inputs import command, model, pictures
from tests.survival.server import Case

HYPERNETWORK = "hypernetwork --inner-steps 1 --outer-steps 1 --blocks 1 --batch-size 2 --iterations 4 --bank-size 4"
MEND = "mend --rank 4 --batch-size 2 --iterations 3"
KE = "ke --condition 4 --others 1 --batch-size 2 --iterations 3 --warmup 1"
FIX = "editors.fix --base in/base --image in/images/cat/0.png --label 340 --check in/images --out out"


def _classes() -> None:
    model("in/base")
    pictures("in/images", "cat", "dog")


def _train(line: str) -> Callable[[], None]:
    """Training with two pairs a part of the bank, and a checkpoint every other iteration."""

    def run() -> None:
        from benchmark.core import cli
        from editors import train
        from editors.methods.hypernetwork import bank

        bank.PART = 2
        words = f"{line} --base in/base --images in/images --checkpoint-every 2 --out out/net.safetensors".split()
        cli.run(train.commands(words), words)

    return run


CASES = (
    Case("hypernetwork", _classes, _train(HYPERNETWORK), repeats=50),
    Case("mend", _classes, _train(MEND), repeats=50),
    Case("ke", _classes, _train(KE), repeats=50),
    Case("fix", _classes, command(FIX), refuses="is not empty"),
)
