"""What is studied: problems, prompts, reading, grades, minimal pairs. Asked once; all that follows
reads records.
"""
