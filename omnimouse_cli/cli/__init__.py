"""The command line, one file per command: parse options, call one function, print the result."""
