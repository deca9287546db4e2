"""Paint ImageNet classes in oil with Stable Diffusion, as Dataset Interfaces does (SPEC, 6).

python -m generation.oil_painting --out out/oil --device cuda
python -m generation.oil_painting --out my-tokens --learn-token photos/corn --classes corn
python -m generation.clip_filter out/oil --shift oil_painting --images photos --out out/oil-kept
"""

from __future__ import annotations

import logging
from pathlib import Path

from benchmark.core import options
from benchmark.core.errors import UserError
from benchmark.core.ranges import Count
from benchmark.labels.imagenet import names
from benchmark.labels.names import known_classes
from benchmark.subsets.oil_painting import CLASSES
from generation.core.folder import GeneratedImages
from generation.diffusion import batches as diffusion
from generation.diffusion.tokens import RELEASED, find_tokens

log = logging.getLogger(__name__)

PROMPT = "an oil painting of a {}"  # SPEC, 6


def make_prompts(
    model: diffusion.Model, classes: list[int], tokens: str, class_names: bool
) -> dict[int, tuple[str, str]]:
    """The prompt of each class, and the origin of its word; the tokens of `tokens` are put into the pipeline.

    With `class_names`, a class without a token is called by its name in ImageNet ("class name" is then its origin).

    Raises:
        UserError: if a class has no token, and for what `find_tokens` refuses.
    """
    width = model.pipe.text_encoder.get_input_embeddings().weight.shape[1]
    try:
        token_of_class = find_tokens(tokens, classes, width)
    except UserError:
        if not class_names or Path(tokens).exists():
            raise
        log.warning("no tokens to be had from %s; all classes go by their names", tokens)
        token_of_class = {}
    missing = [f"{index} ({names()[index]})" for index in classes if index not in token_of_class]
    if missing and not class_names:
        raise UserError(
            f"{tokens} has no token for {', '.join(missing)}; learn one with --learn-token FOLDER, or call such "
            "classes by their names with --class-names"
        )
    if missing and token_of_class:
        log.warning("without a token, and called by their names: %s", ", ".join(missing))
    for token in token_of_class.values():
        model.pipe.load_textual_inversion(token.embedding, token=token.name)
    words = {index: (token.name, token.origin) for index, token in token_of_class.items()}
    words |= {index: (names()[index], "class name") for index in classes if index not in token_of_class}
    return {index: (PROMPT.format(word), origin) for index, (word, origin) in words.items()}


def main(
    out: options.Out,
    classes: options.Classes = (),
    per_class: options.PerClass = 50,
    model: options.Model = diffusion.MODEL,
    revision: options.Revision = None,
    tokens: str = RELEASED,
    class_names: bool = False,
    learn_token: Path | None = None,
    learn_steps: Count = 3000,
    steps: options.Steps = diffusion.STEPS,
    guidance: options.Guidance = diffusion.GUIDANCE,
    size: options.Size = diffusion.SIZE,
    batch_size: options.BatchSize = diffusion.BATCH,
    device: options.Device = "auto",
) -> None:
    """Paint ImageNet classes in oil with Stable Diffusion and one textual-inversion token a class.

    OUT gets one folder a class (its ImageNet index), which benchmark.build --oil-painting takes, and
    metadata.jsonl with prompt, seed, model, revision and token of each image. A seed depends only on class and
    number, so any subset has the same images. Stop it when you like: the same command goes on where it stopped.
    Without --classes, the 22 of the paper's oil-painting group are painted. The released tokens are for Stable
    Diffusion 2. A batch is halved until one fits into memory. With --learn-token, OUT is the folder for the token.

    Args:
        tokens: Folder, ZIP archive or Hub data set with INDEX.bin, a textual-inversion token for each class.
        class_names: Call a class that has no token by its name in ImageNet.
        learn_token: Folder of photographs of the one class in --classes: learn its token, save it, and stop.
        learn_steps: Optimiser steps of --learn-token.
    """
    indices = known_classes(classes, "--classes", sorted(CLASSES))
    if learn_token is not None:
        from generation.diffusion.learning import learn_into

        if len(indices) != 1:
            raise UserError(
                f"--classes must be one class with --learn-token, not {len(indices)}; name the one to learn"
            )
        file = learn_into(
            out, learn_token, indices[0], diffusion.load_model(model, revision, device, half=False), learn_steps
        )
        print(f"{file}: generate with --tokens {out} --classes {indices[0]}")
        return
    loaded = diffusion.load_model(model, revision, device)
    prompt_of_class = make_prompts(loaded, indices, tokens, class_names)
    settings = {**loaded.metadata, "template": PROMPT, "steps": steps, "guidance": guidance, "size": size}
    with GeneratedImages.held(out, settings) as folder:
        n_made = diffusion.generate(loaded, folder, prompt_of_class.__getitem__, indices, per_class, batch_size)
    counts = folder.summarise((index, number) for index in indices for number in range(per_class))
    print(f"{out}: {n_made:,} images made, {counts}; benchmark.build --oil-painting {out}")


if __name__ == "__main__":
    from benchmark.core.cli import run

    run(main)
