"""The inspection server: models that answer over HTTP, and a memory of what they decided."""
