"""The base model `vits16` on the Hub."""

from benchmark.fetching.timm_weights import timm_source

SOURCE = timm_source("vits16")
