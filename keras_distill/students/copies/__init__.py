"""Students that are made of their teacher."""
