"""What is studied: problems, prompts, reading, grades, pairs, behind one protocol (`domain`).

Asked by the stages problems, weights, traces, label, grade and effects, and by nobody else.
"""
