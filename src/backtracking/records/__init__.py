"""What stages hand on: each a frozen dataclass, with one strict reader and writer."""
