"""Single parts of the library under measurement; only this folder looks inside it."""
