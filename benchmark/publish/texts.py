"""The texts of the data card that are the same for every build; Markdown."""

from __future__ import annotations

CITATION = """@inproceedings{yang2024where,
  title     = {Learning Where to Edit Vision Transformers},
  author    = {Yang, Yunqiao and Huang, Long-Kai and Chen, Shengzhuang and Ma, Kede and Wei, Ying},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2024}
}"""

ABOUT = """Photographs, paintings and renderings on which a trained Vision Transformer (ViT-B/16) fails, grouped by
how it fails, and images close to its decision boundary. An *editor* gets one failure, changes the model, and is
judged on the failure itself, on the rest of its group (generalisation), and on the images that must not change
(locality). This is the benchmark of "Learning Where to Edit Vision Transformers" (NeurIPS 2024), in one schema."""

OWN_ABOUT = """Own groups: images on which a trained Vision Transformer fails, and images near its decision boundary,
in the schema of the benchmark of "Learning Where to Edit Vision Transformers" (NeurIPS 2024).
Names, counts and labels are not the paper's, and scores on these images can't be compared with scores on its own."""

GROUPS = """A group of the natural subset is named "prediction of the stronger model-prediction of the base model": the
first is the true class, the second what ViT-B/16 says. Oil painting holds failures of 22 classes, stage light of 32."""

COLUMNS = """| column | meaning |
| --- | --- |
| `image` | the file as it was found, undecoded and unscaled; null where it may not be passed on |
| `label`, `class_name` | ImageNet-1k class: `ClassLabel` over synset ids in ImageNet's order, and a readable name |
| `group`, `group_id`, `subset` | the group of an editing sample; subset is {subsets} |
| `base_prediction`, `strong_prediction` | top-1 classes of base and stronger model, where they are known |
| `margin` | the base's top-1 probability minus the second's, where it was measured |
| `label_origin` | where the label comes from |
| `source`, `source_id` | where the image comes from, and its name there |
| `licence`, `attribution` | of this image |
| `sha256` | of the file's bytes |
| `drawing` | what the image is a view of (drawings of `mini` and `real`, PUG's assets): its views are not independent |

What does not apply to an image, or is not known of it, is null."""

OWN_LOCALITY = "images that the base model gets right with a small margin (`benchmark.locality`)."
MINI = "emoji drawings by several designers, for trying things out; its licences and credits are in its rows."
REAL = "other views of these drawings, mined for a head on DINOv2's ViT-S/14 (`dinov2-mini`)."


LABELS = "All labels are ImageNet-1k classes. Where each comes from is counted here."

LICENCES = """\
There is no one licence: columns `licence` and `attribution` hold for each image. Keep the attribution of the
natural images when you pass them on; a licence that is not known is not a permission. PUG is CC-BY-NC and must not
be used to train generative models. ImageNet is for non-commercial research and teaching, not for passing on."""

USE = """## Intended use, and limits

For research on model editing: developing editors, and comparing them. Not for training: every image here is one
that editors are judged on.

- The failures are those of one model, ViT-B/16. For another base, keep what that base gets wrong; `benchmark.load`
  does so, and logs how much is left.
- The locality images are near the boundary of ViT-B/16 in float32, under one preprocessing. For another base many
  of them are ordinary images, and some it gets wrong.
- Groups have 49 to 1,092 images; compare unweighted means over groups, and look at the generated ones apart.
- All labels are single classes. Some images show several, and two people can disagree about them.
- The photographs are what keyword searches on Flickr give, which is no sample of the world. Some show people."""
