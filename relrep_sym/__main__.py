"""``python -m relrep_sym`` is the command line, ``relrep``."""

from relrep_sym.cli import main

if __name__ == "__main__":
    main(prog_name="relrep")
