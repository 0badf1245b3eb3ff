"""The job that turns folders of images into a student ready to ship."""
