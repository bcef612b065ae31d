"""The checks that every detector passes, for those of other packages too."""

from anomalist.testing.check import CHECKS, Check, check_detector
from anomalist.testing.subject import Subject, tiny_category

__all__ = ["CHECKS", "Check", "Subject", "check_detector", "tiny_category"]
