"""Measure the speed of editing and of meta-training, beside plain code with equal results."""

from __future__ import annotations

from benchmark.core import options
from benchmark.core.cli import Command, run
from benchmark.core.devices import pick
from benchmark.core.timing import write_json
from editors.measures.editing import FLOAT32_DISTANCE, measure_editing
from editors.measures.metatraining import RECIPE, measure_metatraining


def edit(
    base: options.Base = "vits16",
    device: options.Device = "auto",
    quick: options.Quick = False,
    json: options.Json = None,
) -> None:
    """Compare the edit loop with a plain one, with random weights and images.

    First the edits themselves (in float64 the same steps and weights, in float32 close ones), then the time
    of fixed steps, taken in turn in one process. Nothing else should be running. With --quick, it takes under
    half a minute.
    """
    result = measure_editing(base, device, quick)
    result.speed.show(f"{result.at_once} edits of {base} at once, {result.steps} steps each, float32, {result.device}")
    exact, close = result.float64, result.float32
    print(f"same edits, float64, stop rule, on the mini: steps {exact.steps}, weights within {exact.weights:.1g}")
    print(
        f"same edits, float32: weights within {close.weights:.1g} (allowed {FLOAT32_DISTANCE:.0e}), "
        f"their change within {close.change:.1g}; relative, Frobenius norm"
    )
    print(f"edit: {result.speed.ratio:.1f}x")
    write_json(json, f"edit-{base}-{pick(device).type}", result)


def metatrain(
    base: options.Base = "vits16",
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    quick: options.Quick = False,
    json: options.Json = None,
) -> None:
    """Compare meta-training's targets with a plain loop, with random weights and images.

    First the masks themselves (equal in float64, close in float32), then the time, taken in turn in one
    process. Nothing else should be running.
    """
    result = measure_metatraining(base, device, precision, quick)
    result.speed.show(f"{result.speed.count} targets of {base} at once, {precision}, {result.device}")
    print(f"same masks: float64, on the mini, within {result.float64:.1g}")
    print(f"            {precision}, on {base}: {result.float32:.1g} apart on average")
    print(
        f"projected: {result.hours:.2f} h for {RECIPE.iterations:,} iterations of batch {RECIPE.batch_size} of {base} "
        f"in {precision} (the paper, for vitb16: 9 h on one RTX A6000)"
    )
    print(f"metatrain: {result.speed.ratio:.1f}x")
    write_json(json, f"metatrain-{base}-{pick(device).type}", result)


main: dict[str, Command] = {"": edit, "metatrain": metatrain}

if __name__ == "__main__":
    run(main)
