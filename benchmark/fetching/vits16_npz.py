"""The base model `vits16` as AugReg's authors offer it; timm's config of the weights names the file."""

from benchmark.fetching.timm_weights import augreg_source

SOURCE = augreg_source(
    "vits16",
    "S_16-i21k-300ep-lr_0.001-aug_light1-wd_0.03-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.03-res_224.npz",
)
