"""What stages hand on: each a frozen dataclass, with one strict reader and one writer.

What is not known is None, a row that is not there, or a file that is absent.
"""
