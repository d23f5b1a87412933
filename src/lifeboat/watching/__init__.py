"""Notices of the machine's end, and forwarding as work is done."""
