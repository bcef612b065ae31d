"""Procedural sample data: objects with and without defects, painted by code from a seed."""

from anomalist.data.samples.sample_set import SAMPLE_CATEGORIES, make_sample_set

__all__ = ["SAMPLE_CATEGORIES", "make_sample_set"]
