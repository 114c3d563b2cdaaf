"""Reading and writing files with care, whatever is in them."""
