"""Forest plots: what stands in them (`table`), beside them (`columns`, `bias`), and how they are laid out and drawn."""
