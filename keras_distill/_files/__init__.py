"""Files and folders on disk: destinations, run folders, files of any origin."""
