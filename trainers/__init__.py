"""Commands, each a file of this folder, and in the rooms below what they are made of."""
