"""Pure tables: numbers, names, prototypes and layouts of the platforms. No logic."""
