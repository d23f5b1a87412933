"""The verbs on the command line. What does not even load is told as every other error is."""

from lifeboat.stage import failures

failures.tell_uncaught()
