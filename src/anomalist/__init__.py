"""anomalist finds defects in images after seeing only good ones."""

__version__ = "0.1.0"
