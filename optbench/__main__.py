"""`python -m optbench`."""

from optbench.cli.verbs import main

if __name__ == "__main__":
    main()
