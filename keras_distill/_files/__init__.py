"""Where things go on disk: destinations, run folders, files of any origin."""
