"""What is said over links, as messages and as bytes."""
