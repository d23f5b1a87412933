"""Figures, one module each: tables in, a drawing out."""
