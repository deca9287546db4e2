"""The base model `vitb16` on the Hub."""

from benchmark.fetching.timm_weights import timm_source

SOURCE = timm_source("vitb16", "346 MB, https://huggingface.co/timm/vit_base_patch16_224.augreg_in21k_ft_in1k")
