"""Students that are made from their teacher."""
