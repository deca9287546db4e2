"""Train the network of hypernetwork, ke or mend for a base model.

python -m editors.train hypernetwork --base mini --images mini --bank-size 8000 --out out/mini.safetensors
python -m editors.train ke --base vitb16 --images imagenet/train --device cuda --out out/ke/vitb16.safetensors
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from tyro import conf

from benchmark.core.cli import Command
from benchmark.core.cli import run as run_command
from editors.methods.hypernetwork import fit as hypernetworks
from editors.methods.hypernetwork.bank import BankOptions
from editors.methods.hypernetwork.recipe import PRESETS, HypernetworkRecipe
from editors.methods.ke import fit as knowledge_editors
from editors.methods.ke.recipe import KERecipe
from editors.methods.mend import fit as editor_networks
from editors.methods.mend.recipe import MENDRecipe
from editors.training.loop import TrainingRun


def hypernetwork(run: TrainingRun, recipe: HypernetworkRecipe, bank: BankOptions) -> None:
    """Meta-train a hypernetwork, which learns where to edit this base model.

    OUT is the checkpoint, FILE.safetensors; curves (csv, png) and the state to go on from lie beside it. No label of
    an image is used.
    The other options change what --recipe names (paper, Algorithm 1). With --crop-scale None, crops are the base's own;
    without --bank-size, no pseudo-sample is seen twice (iterations x batch size).
    """
    base, source = run.open()
    hypernetworks.train(base, source, recipe, bank, run.out, run.seed, run.checkpoint_every)
    _report(run.out, "hypernetwork", recipe.iterations)


def ke(run: TrainingRun, recipe: KERecipe) -> None:
    """Train KE's network, which turns this base model's gradients into edits that work and stay local.

    OUT is the checkpoint, FILE.safetensors; curves (csv, png) and the state to go on from lie beside it. No label of
    an image is used.
    """
    base, source = run.open()
    knowledge_editors.train(base, source, recipe, run.out, run.seed, run.checkpoint_every)
    _report(run.out, "ke", recipe.iterations)


def mend(run: TrainingRun, recipe: MENDRecipe) -> None:
    """Train MEND's editor network, which changes this base model's gradients into edits.

    OUT is the checkpoint, FILE.safetensors; curves (csv, png) and the state to go on from lie beside it. No label of
    an image is used.
    """
    base, source = run.open()
    editor_networks.train(base, source, recipe, run.out, run.seed, run.checkpoint_every)
    _report(run.out, "mend", recipe.iterations)


def _report(out: Path, editor: str, iterations: int) -> None:
    print(f"{out}: {iterations:,} iterations; use it as {editor}:checkpoint={out}")


def commands(words: Sequence[str]) -> dict[str, Command]:
    """A command for each method that trains; the default of each option is that of the recipe that `words` name."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--recipe", nargs="?", default="released")
    recipe = PRESETS.get(parser.parse_known_args(words)[0].recipe, PRESETS["released"])  # the command refuses others
    from_preset = functools.partial(hypernetwork, recipe=recipe)
    from_preset.__doc__ = hypernetwork.__doc__
    flat = conf.configure(conf.OmitArgPrefixes)
    return {"hypernetwork": flat(from_preset), "ke": flat(ke), "mend": flat(mend)}


main = commands(())

if __name__ == "__main__":
    run_command(commands(sys.argv[1:]), about=__doc__ or "")
