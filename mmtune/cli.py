"""The door of the command line: `mmtune VERB ...` to a workflow, errors to messages and exit codes.

Knows no torch: a recipe is read and checked before the verb's workflow is imported.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from mmtune import __version__
from mmtune.errors import (
    CheckpointError,
    ConfigError,
    InputError,
    Interrupted,
    MmtuneError,
    TrainingDiverged,
)

VERBS = {
    "check": "config, data, templates, lengths, memory and time of a recipe, without training",
    "preview": "what the model will be trained on, supervised tokens in colour",
    "curate": "a small good set out of a big pool",
    "train": "instruction-tune a model by a recipe",
    "generate": "answers of a tuned model, to a file of prompts or interactively",
    "judge": "compare answers with a model as the judge",
    "evaluate": "score a model on a suite",
    "report": "one page and a figure about an evaluation or a study",
    "bench": "how near training comes to a bare torch loop on this machine (`mmtune bench text`)",
    "doctor": "versions, devices, and the attention paths that run on them",
    "pocket": "build the embedded models (`mmtune pocket build NAME`)",
}
LATER = ("curate", "judge")
POCKET_MODELS = ("lm",)

_EPILOG = """\
Keys are dotted, values are YAML: train.learning_rate=1e-4 data.path=rows.jsonl
Exit codes: 0 done; 2 the input is wrong; 3 training diverged; 75 stopped by SIGTERM with a
checkpoint written, 130 by Ctrl-C: run the command again to go on."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code (see `mmtune.errors`)."""
    verb, *rest = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    if verb in ("-h", "--help", "help"):
        print(help_text())
        return 0
    if verb == "--version":
        print(f"mmtune {__version__}")
        return 0
    return through_door(lambda: _dispatch(verb, rest))


def help_text() -> str:
    lines = [
        "usage: mmtune VERB CONFIG.yaml [key=value ...]",
        "",
        "Instruction tuning, from pool to proof: curate, train, judge.",
        "",
        *(
            f"  {verb:<10}{'(comes in a later version) ' if verb in LATER else ''}{what}"
            for verb, what in VERBS.items()
        ),
        "",
        "`mmtune VERB --help` says more of a verb.",
        _EPILOG,
    ]
    return "\n".join(lines)


def through_door(action: Callable[[], None]) -> int:
    """Do it; an MmtuneError becomes messages on stderr and its exit code, without traceback.

    Any other exception is a bug and keeps its traceback.
    """
    try:
        action()
        sys.stdout.flush()
    except MmtuneError as error:
        _say(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `mmtune preview ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _say(error: MmtuneError) -> None:
    """Each fault on its own line, told once: every rank reads the same recipe, and every rank of a
    machine the same data and model."""
    rank, here = (int(os.environ.get(name) or 0) for name in ("RANK", "LOCAL_RANK"))
    if rank and isinstance(error, (ConfigError, TrainingDiverged, Interrupted)):
        return  # all ranks agree on these
    if here and isinstance(error, InputError) and not isinstance(error, CheckpointError):
        return
    start = f"[rank {rank}] " if rank else ""
    kind = "error: " if isinstance(error, InputError) else ""
    for fault in error.faults if isinstance(error, InputError) else [str(error)]:
        print(f"{start}{kind}{_harmless(fault)}", file=sys.stderr)
    sys.stderr.flush()


def _harmless(text: str) -> str:
    """What data may have put into a message, without a terminal's control characters."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def _dispatch(verb: str, rest: list[str]) -> None:
    if verb not in VERBS:
        near = get_close_matches(verb, VERBS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"verbs: {', '.join(VERBS)}"
        raise InputError(f"mmtune {verb}: no such verb; {hint}")
    if verb in LATER and not {"-h", "--help"} & set(rest):
        raise InputError(f"mmtune {verb}: not in this version; it comes in a later one")
    given = _parser(verb).parse_intermixed_args(rest)
    _ACTIONS[verb](given)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{self.prog}: {message}; see `{self.prog} --help`")


def _parser(verb: str) -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    later = " (comes in a later version)" if verb in LATER else ""
    parser = _Parser(
        f"mmtune {verb}",
        description=VERBS[verb] + later,
        epilog=_EPILOG,
        formatter_class=form,
        allow_abbrev=False,
    )
    if verb == "pocket":
        parser.add_argument("action", choices=["build"])
        parser.add_argument("name", choices=POCKET_MODELS)
    elif verb == "bench":
        parser.add_argument("subject", choices=["text"])
    elif verb == "generate":
        parser.add_argument("model", help="model folder, hub id, pocket:NAME, or a recipe (.yaml)")
        _add_generate_flags(parser)
    elif verb == "report":
        parser.add_argument("path", type=Path, help="JSON of an evaluation or study, or its folder")
    elif verb != "doctor":
        parser.add_argument("config", type=Path, help="a recipe (YAML)")
    if verb == "preview":
        parser.add_argument("--rows", type=_count, default=4, help="packs to show (default 4)")
    if verb not in ("doctor", "report"):
        parser.add_argument("overrides", nargs="*", default=[], metavar="key=value")
    return parser


def _add_generate_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--prompts", type=Path, help="JSONL of prompts; without it, a conversation at the terminal")
    add("--out", type=Path, help="JSONL of answers (with --prompts; default: standard output)")
    add("--max-new-tokens", type=_count, default=256)
    add("--temperature", type=_number, default=0.0, help="0 takes the likeliest token (default)")
    add("--top-p", type=_share, default=1.0, help="keep the likeliest tokens up to this mass")
    add("--batch-size", type=_count, default=16)
    add("--repetition-penalty", type=_penalty, default=1.0, help="1 is none (default)")
    add("--seed", type=_whole, default=0, help="of what is drawn at a temperature above 0")
    add("--system", default="", help="the system's turn of a conversation at the terminal")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number >= 1")
    return int(text)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number >= 0")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number >= 0")
    return value


def _share(text: str) -> float:
    if not 0 < (value := _number(text)) <= 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number from 0 to 1")
    return value


def _penalty(text: str) -> float:
    if (value := _number(text)) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number >= 1")
    return value


def _with_recipe(verb: str, *flags: str) -> Callable[[argparse.Namespace], None]:
    def act(given: argparse.Namespace) -> None:
        from mmtune.config.load import load_recipe

        recipe = load_recipe(given.config, given.overrides)
        _workflow(verb)(recipe, **{flag: getattr(given, flag) for flag in flags})

    return act


def _check(given: argparse.Namespace) -> None:
    """It ends with the command that trains, so it is handed the command line's words."""
    from mmtune.config.load import load_recipe

    cards = import_module("mmtune.workflows.check_cards")
    if cards.is_cards(given.config):
        cards.run(given.config, given.overrides)
        return
    recipe = load_recipe(given.config, given.overrides)
    _workflow("check")(recipe, arguments=[str(given.config), *given.overrides])


def _generate(given: argparse.Namespace) -> None:
    """A recipe stands for the model that its run wrote."""
    settings = {k: v for k, v in vars(given).items() if k not in ("model", "overrides")}
    model = given.model
    if model.endswith((".yaml", ".yml")):
        from mmtune.config.load import load_recipe

        model = str(Path(load_recipe(Path(model), given.overrides).run.dir) / "final")
    elif given.overrides:
        raise InputError("mmtune generate: key=value belongs to a recipe, not to a model folder")
    _workflow("generate")(model, **settings)


def _workflow(verb: str) -> Callable[..., None]:
    run: Callable[..., None] = import_module(f"mmtune.workflows.{verb}").run
    return run


_ACTIONS: dict[str, Callable[[argparse.Namespace], None]] = {
    "check": _check,
    "preview": _with_recipe("preview", "rows"),
    "train": _with_recipe("train"),
    "generate": _generate,
    "evaluate": lambda given: _workflow("evaluate")(given.config, given.overrides),
    "report": lambda given: _workflow("report")(given.path),
    "bench": lambda given: _workflow("bench")(given.subject, given.overrides),
    "doctor": lambda given: _workflow("doctor")(),
    "pocket": lambda given: _workflow("pocket")(given.name, given.overrides),
}


if __name__ == "__main__":
    sys.exit(main())
