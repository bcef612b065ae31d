"""``python -m tests.bad_input`` writes the tables of docs/bad_input again."""

from tests.bad_input.pages import write

write()
