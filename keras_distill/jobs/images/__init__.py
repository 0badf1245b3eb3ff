"""From folders of images to a student that is shipped."""
