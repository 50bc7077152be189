"""Commands, one file each in this folder; the rooms below hold their parts."""
