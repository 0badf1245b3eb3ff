"""How fast an exported model runs here, and with how much memory."""
