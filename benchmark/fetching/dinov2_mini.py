"""The backbone of `dinov2-mini` and its rival on the Hub."""

from benchmark.fetching.timm_weights import timm_source

SOURCE = timm_source(
    "dinov2-mini",
    "88 MB, https://huggingface.co/timm/vit_small_patch14_dinov2.lvd142m",
    "make it of an ONNX file with --from-onnx, see --help",
)
