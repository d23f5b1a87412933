"""What is sent while stages run, and the notice that the machine goes."""
