"""Files and directories: found, written aside and put in place whole, with leftovers of killed runs removed.

May import: nothing of fullrank.
"""
