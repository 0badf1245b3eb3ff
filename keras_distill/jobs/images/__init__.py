"""From folders of images to a student ready to ship."""
