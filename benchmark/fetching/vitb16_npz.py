"""The base model `vitb16` as AugReg's authors offer it (SPEC, 9)."""

from benchmark.fetching.timm_weights import augreg_source

SOURCE = augreg_source(
    "vitb16",
    "B_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.01-res_224.npz",
)
