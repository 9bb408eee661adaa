"""Known protocol bugs, each kept as a small change of the core's text, and the command that shows each is caught."""
