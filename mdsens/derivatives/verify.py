"""`verify`: placeholder to be written."""
verify = None
