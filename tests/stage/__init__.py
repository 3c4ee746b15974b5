"""A stage for one run: maps and programs in a kernel, and everything that can be seen of the run afterwards."""
