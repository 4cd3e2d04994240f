"""The command `hf-rnn-seq2seq` and its sub-commands."""

import argparse
import sys


def main(argv: list[str] | None = None) -> int:
    """Entry point of the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="hf-rnn-seq2seq", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    p = commands.add_parser("train")
    p.add_argument("recipe", nargs="?")
    p.add_argument("overrides", nargs="*")
    args = parser.parse_args(argv)
    from .allocator import keep_freed_memory
    keep_freed_memory()
    from .training.arguments import read_recipe
    from .training.run import train
    facts = train(read_recipe(args.recipe, args.overrides))
    sys.stdout.write(str(facts) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
