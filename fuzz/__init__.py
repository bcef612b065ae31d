"""Damaged and hostile files for what reads files: ``python -m fuzz.models`` and ``fuzz.images``."""
