"""The command `hf-rnn-seq2seq`: from training to the Hub."""

import argparse
import contextlib
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from .text_streams import decode_lines, open_input, open_output

# sub-commands import what they need when they run


def main(argv: list[str] | None = None) -> int:
    """Entry point of the command.

    Args:
        argv (`list[str]`, *optional*): words after the command's name, `sys.argv[1:]` if not given.

    Returns:
        Exit status: 0, or 1 after a message to standard error that says what is wrong with the input.
    """
    parser = argparse.ArgumentParser(prog="hf-rnn-seq2seq", description=__doc__)
    commands = parser.add_subparsers(metavar="command", required=True)
    for add in (
        _add_train,
        _add_finetune,
        _add_translate,
        _add_evaluate,
        _add_score,
        _add_align,
        _add_attention,
        _add_demo,
        _add_push,
        _add_export,
        _add_benchmark,
    ):
        add(commands)
    arguments = parser.parse_args(argv)
    try:
        return arguments.run(arguments)
    except (ValueError, OSError, EOFError, FloatingPointError) as error:
        sys.stderr.write(f"hf-rnn-seq2seq: {error}\n")
        return 1


def _add_command(commands, name: str, run: Callable, description: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=description, description=description)
    parser.set_defaults(run=run)
    return parser


def _add_words(parser: argparse.ArgumentParser, example: str) -> None:
    parser.add_argument(
        "words",
        nargs="*",
        metavar="recipe.yaml | key=value",
        help=f"a recipe and settings that override it, for example {example}",
    )


def _add_train(commands) -> None:
    parser = _add_command(commands, "train", _train, "Train a model and its tokenizer by a recipe.")
    _add_words(parser, "training.learning_rate=1e-3")


def _train(arguments: argparse.Namespace) -> int:
    _prepare_process()
    from .training.arguments import Recipe
    from .training.run import train

    recipe = _read_recipe(arguments.words, Recipe)
    facts = train(recipe)
    if facts is None:
        return 0
    for side, found in facts["word_vectors"].items():
        _say(f"word vectors: {found['num_found']:,} of {found['num_tokens']:,} {side} tokens")
    _say(f"validation: {_one_line(facts['validation'].items())}")
    if "test" in facts:
        _say(f"test: {_one_line((score['name'], score['value']) for score in facts['test'])}")
    _say(
        f"{facts['updates']:,} updates, {facts['training_wall_seconds'] / 60:.1f} minutes, "
        f"{facts['target_tokens_per_second']:,.0f} target tokens/s; weights: {facts['weights']}"
    )
    _say(f"model, tokenizer, card, log and learning curves are in {recipe.training.output_dir}")
    return 0


def _add_finetune(commands) -> None:
    parser = _add_command(commands, "finetune", _finetune, "Fine-tune a trained model on other pairs by a recipe.")
    _add_words(parser, "model=runs/general training.learning_rate=1e-4")


def _finetune(arguments: argparse.Namespace) -> int:
    _prepare_process()
    from .training.finetuning import FinetuningRecipe, finetune

    recipe = _read_recipe(arguments.words, FinetuningRecipe)
    facts = finetune(recipe)
    if facts is None:
        return 0
    for name, label in (("before", "test before"), ("test", "test after")):
        if name in facts:
            _say(f"{label}: {_one_line((score['name'], score['value']) for score in facts[name])}")
    _say(
        f"{facts['updates']:,} updates, {facts['training_wall_seconds'] / 60:.1f} minutes; weights: {facts['weights']}"
    )
    _say(f"model, tokenizer, card, log and learning curves are in {recipe.training['output_dir']}")
    return 0


def _read_recipe(words: list[str], kind: type):
    """A recipe from the words of a command line: at most one file, and settings."""
    from .training.arguments import read_recipe

    recipes = [word for word in words if "=" not in word]
    if len(recipes) > 1:
        raise ValueError(f"One recipe at a time, got {', '.join(recipes)}.")
    return read_recipe(recipes[0] if recipes else None, [word for word in words if "=" in word], kind)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="folder or Hub id of a trained model")
    parser.add_argument("--device", default=None, help="such as cpu or cuda; a GPU if there is one")
    parser.add_argument("--batch-size", type=_count, default=32, help="sentences decoded at a time (%(default)s)")
    parser.add_argument("--num-beams", type=_count, help="beam width, 1 is greedy; the saved one if not given")
    parser.add_argument("--max-new-tokens", type=_count, help="longest output; the saved one if not given")


def _add_translate(commands) -> None:
    parser = _add_command(commands, "translate", _translate, "Translate lines of text.")
    _add_model(parser)
    parser.add_argument("--input", type=Path, help="text file, one sentence a line; standard input if not given")
    parser.add_argument("--output", type=Path, help="file to write; standard output if not given")
    parser.add_argument(
        "--n-best",
        type=_count,
        default=1,
        help="translations of each line, as `line number, score, text` separated by tabs",
    )
    parser.add_argument("--html", type=Path, help="also write a page that shows where the model looked")
    parser.add_argument("--alignments", type=Path, help="also write word alignments, a line of `0-0 1-2` for each")
    _add_ensemble(parser)
    parser.add_argument("--replace-unknown", action="store_true", help="put source words in place of unknown ones")
    parser.add_argument(
        "--coverage-penalty", type=float, default=0.0, help="rank beams by how much of the source was looked at too"
    )
    parser.add_argument("--chunk-size", type=_count, default=1000, help="lines sorted at a time (%(default)s)")


def _translate(arguments: argparse.Namespace) -> int:
    _prepare_process()
    from tqdm.auto import tqdm

    from .decoding.translation import read_chunks, translate
    from .model.pipeline_attention import format_pharaoh

    model, tokenizer = _load_ensemble(arguments)
    options = _generate_options(arguments)
    is_listed = arguments.n_best > 1
    if is_listed:
        options["num_return_sequences"] = arguments.n_best
        options.setdefault("num_beams", max(arguments.n_best, model.generation_config.num_beams or 1))
    if arguments.html:
        if is_listed:
            raise ValueError("`--html` shows the best translation of each line; leave `--n-best` out.")
        if arguments.alignments or arguments.coverage_penalty or arguments.ensemble:
            raise ValueError("`--html` goes without `--alignments`, `--coverage-penalty` and `--ensemble`.")
        options["replace_unknown"] = arguments.replace_unknown
        return _translate_to_page(arguments, model, tokenizer, options)
    number = 0
    with (
        open_input(arguments.input) as source,
        open_output(arguments.output) as target,
        open_output(arguments.alignments) if arguments.alignments else contextlib.nullcontext() as alignments,
        tqdm(desc="translating", unit="line", disable=None) as bar,
    ):
        for chunk in read_chunks(decode_lines(source, arguments.input or "standard input"), arguments.chunk_size):
            results = translate(
                model,
                tokenizer,
                chunk,
                batch_size=arguments.batch_size,
                with_scores=is_listed,
                with_alignment=alignments is not None,
                coverage_penalty=arguments.coverage_penalty,
                replace_unknown=arguments.replace_unknown,
                report_progress=bar.update,
                **options,
            )
            for hypotheses in results:
                number += 1
                for hypothesis in hypotheses:
                    score = "" if hypothesis.score is None else f"{hypothesis.score:.4f}"
                    target.write(f"{number}\t{score}\t{hypothesis.text}\n" if is_listed else f"{hypothesis.text}\n")
                    if alignments is not None:
                        alignments.write(f"{format_pharaoh(hypothesis.alignment)}\n")
            target.flush()
    return 0


def _translate_to_page(arguments: argparse.Namespace, model, tokenizer, options: dict) -> int:
    from tqdm.auto import tqdm
    from transformers import pipeline

    from .demo.attention_page import render_page

    pipe = pipeline("translation", model=model, tokenizer=tokenizer, device=model.device)
    with (
        open_input(arguments.input) as source,
        open_output(arguments.output) as target,
        open_output(arguments.html) as page,
    ):
        # read twice: by the pipeline, and for the page
        lines, copies = itertools.tee(
            line.rstrip("\n") for line in decode_lines(source, arguments.input or "standard input")
        )
        results = pipe(lines, batch_size=arguments.batch_size, return_scores=True, return_attention=True, **options)

        def records() -> Iterator[dict]:
            bar = tqdm(results, desc="translating", unit="line", disable=None)
            for line, (record,) in zip(copies, bar, strict=True):
                target.write(f"{record['translation_text']}\n")
                yield {"source": line, **record, **({} if line.strip() else {"score": None, "attention": None})}

        for piece in render_page(records(), title=Path(arguments.model).name):
            page.write(piece)
    return 0


def _add_evaluate(commands) -> None:
    parser = _add_command(commands, "evaluate", _evaluate, "Translate a test set and score it with sacreBLEU.")
    _add_model(parser)
    for name, meaning in (
        ("dataset", "Hub id, folder, or dates (the built-in corpus)"),
        ("split", "split of the dataset"),
        ("file", ".json, .jsonl, .csv, .tsv or .parquet with both sides"),
        ("source-file", "plain text, one sentence a line"),
        ("target-file", "its reference translations"),
        ("source", "column or language of the source"),
        ("target", "column or language of the target"),
    ):
        parser.add_argument(f"--{name}", help=meaning)
    parser.add_argument("--max-examples", type=_count, help="only the first pairs")
    parser.add_argument("--language", help="target language, adds lower-cased BLEU on Moses tokens")
    _add_ensemble(parser)
    parser.add_argument("--json", type=Path, help="also write scores, signatures and settings to this file")


def _evaluate(arguments: argparse.Namespace) -> int:
    _prepare_process()
    from tqdm.auto import tqdm

    from .data.parallel_text import ParallelText
    from .decoding.translation import translate
    from .training.metrics import score_test_set

    names = ("dataset", "split", "file", "source_file", "target_file", "source", "target", "max_examples")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    text = ParallelText(**{"split": "test", **given})
    pairs = list(text.pairs())
    if not pairs:
        raise ValueError(f"A test set must hold at least one pair, got none from {text}.")
    sources, references = zip(*pairs, strict=True)
    model, tokenizer = _load_ensemble(arguments)
    options = _generate_options(arguments)
    with tqdm(total=len(sources), desc="translating", unit="line", disable=None) as bar:
        results = translate(
            model, tokenizer, sources, batch_size=arguments.batch_size, report_progress=bar.update, **options
        )
    scores = score_test_set([best[0].text for best in results], references, arguments.language)
    _say(f"{text}: {_one_line((score.name, score.value) for score in scores)}")
    if arguments.json:
        facts = {
            "test_set": str(text),
            "num_examples": len(sources),
            "model": arguments.model,
            **({"ensemble": arguments.ensemble} if arguments.ensemble else {}),
            "generation": {**model.generation_config.to_diff_dict(), **options},
            "num_unfinished": sum(not best[0].is_finished for best in results),
            "scores": [score.to_dict() for score in scores],
        }
        arguments.json.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def _add_score(commands) -> None:
    parser = _add_command(
        commands, "score", _score, "Log-probabilities of given translations: `log-probability, tokens` of each line."
    )
    _add_pairs(parser)
    _add_ensemble(parser)
    parser.add_argument("--by-token", action="store_true", help="`token log-probability` pairs in place of the sum")


def _score(arguments: argparse.Namespace) -> int:
    _prepare_process()
    from .decoding.scoring import perplexity

    model, tokenizer = _load_ensemble(arguments)
    _, scores = _score_pairs(arguments, model, tokenizer, with_attention=False)
    with open_output(arguments.output) as file:
        for score in scores:
            if arguments.by_token:
                pairs = zip(score.tokens, score.log_probabilities, strict=True)
                file.write("\t".join(f"{token} {value:.4f}" for token, value in pairs) + "\n")
            else:
                file.write(f"{score.log_probability:.4f}\t{len(score.tokens)}\n")
    sys.stderr.write(f"perplexity {perplexity(scores):.4f} over {len(scores):,} pairs\n")
    return 0


def _add_align(commands) -> None:
    parser = _add_command(
        commands,
        "align",
        _align,
        "Word alignments of given translations by attention, such as `0-0 1-2` of each line.",
    )
    _add_pairs(parser)
    _add_ensemble(parser)


def _align(arguments: argparse.Namespace) -> int:
    _prepare_process()
    from .model.pipeline_attention import align_texts, format_pharaoh

    model, tokenizer = _load_ensemble(arguments)
    sources, scores = _score_pairs(arguments, model, tokenizer, with_attention=True)
    with open_output(arguments.output) as file:
        for source, score in zip(sources, scores, strict=True):
            pairs = align_texts(tokenizer, source, score.token_ids, score.attention)
            file.write(f"{format_pharaoh(pairs)}\n")
    return 0


def _add_pairs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="folder or Hub id of a trained model")
    parser.add_argument("--device", default=None, help="such as cpu or cuda; a GPU if there is one")
    parser.add_argument("--batch-size", type=_count, default=32, help="pairs read at a time (%(default)s)")
    parser.add_argument("--source-file", type=Path, required=True, help="plain text, one sentence a line")
    parser.add_argument("--target-file", type=Path, required=True, help="their translations")
    parser.add_argument("--output", type=Path, help="file to write; standard output if not given")


def _score_pairs(arguments: argparse.Namespace, model, tokenizer, *, with_attention: bool) -> tuple[list[str], list]:
    """Source lines, and the scores of their translations."""
    from tqdm.auto import tqdm

    from .decoding.scoring import score

    sides = []
    for path in (arguments.source_file, arguments.target_file):
        with open_input(path) as file:
            sides.append([line.rstrip("\n") for line in decode_lines(file, path)])
    if not sides[0]:
        raise ValueError(f"{arguments.source_file} must hold at least one line, got none.")
    with tqdm(total=len(sides[0]), desc="scoring", unit="pair", disable=None) as bar:
        scores = score(
            model,
            tokenizer,
            *sides,
            batch_size=arguments.batch_size,
            with_attention=with_attention,
            report_progress=bar.update,
        )
    return sides[0], scores


def _add_attention(commands) -> None:
    parser = _add_command(commands, "attention", _attention, "Draw where a model looks while it translates.")
    _add_model(parser)
    parser.add_argument("text", help="source sentence")
    parser.add_argument("--target", help="a translation to look at, in place of the model's own")
    parser.add_argument("--output", type=Path, default=Path("attention.png"), help="PNG to write (%(default)s)")


def _attention(arguments: argparse.Namespace) -> int:
    _prepare_process()
    from .decoding.attention_map import plot_attention
    from .model.pipeline_attention import map_attention

    model, tokenizer = _load(arguments)
    attention = map_attention(model, tokenizer, arguments.text, arguments.target, **_generate_options(arguments))
    plot_attention(attention, arguments.output)
    _say(f"{attention.text}\nattention map: {arguments.output}")
    return 0


def _add_demo(commands) -> None:
    parser = _add_command(commands, "demo", _demo, "Open a page to try a model on, in the browser.")
    parser.add_argument("model", help="folder or Hub id of a trained model")
    parser.add_argument("--device", default=None, help="such as cpu or cuda; a GPU if there is one")
    parser.add_argument("--example", action="append", help="sentence to click on; may be given several times")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=_count, help="port to listen on; the first free one from 7860 if not given")


def _demo(arguments: argparse.Namespace) -> int:
    # the page needs nobody else's server
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    _prepare_process()
    try:
        from .demo.demo import build_demo
    except ModuleNotFoundError as error:
        raise ValueError(f'The demo needs Gradio: `pip install "hf-rnn-seq2seq[demo]"` ({error}).') from error
    from transformers import pipeline

    model, tokenizer = _load(arguments)
    pipe = pipeline("translation", model=model, tokenizer=tokenizer, device=model.device)
    examples = arguments.example or _examples(Path(arguments.model))
    page = build_demo(pipe, title=Path(arguments.model).name, examples=examples)
    page.launch(server_name=arguments.host, server_port=arguments.port, quiet=True, prevent_thread_lock=True)
    _say(f"demo of {arguments.model}: {page.local_url} (end it with Ctrl-C)")
    page.block_thread()
    return 0


def _examples(folder: Path) -> list[str]:
    """The example that the run has noted, where the model is a folder of ours."""
    from .hub.card import RESULTS_FILE

    results = folder / RESULTS_FILE
    facts = json.loads(results.read_text(encoding="utf-8")) if results.is_file() else {}
    return [facts["example"]] if "example" in facts else []


def _add_push(commands) -> None:
    parser = _add_command(commands, "push", _push, "Push a trained folder to the Hub, complete and in one commit.")
    parser.add_argument("folder", type=Path, help="folder of a trained model")
    parser.add_argument("repo_id", help="repository on the Hub, such as me/dates-en-de")
    parser.add_argument("--private", action="store_true", default=None, help="make a new repository private")
    parser.add_argument("--revision", help="branch to push to, created if there is none; main if not given")
    parser.add_argument("--message", default="Upload model", help="of the commit (%(default)s)")
    parser.add_argument("--token", help="with the right to write; the one of `hf auth login` if not given")
    parser.add_argument("--dry-run", action="store_true", help="only list what would be uploaded")
    parser.add_argument("--space", metavar="SPACE_ID", help="also push a Space with the model's demo page")


def _push(arguments: argparse.Namespace) -> int:
    from huggingface_hub.utils import validate_repo_id

    from .demo.space import space_files
    from .hub.folder import HubFiles, collect_files, complete_folder
    from .hub.push import push_files, push_folder

    folder = arguments.folder
    validate_repo_id(arguments.repo_id)

    def collect_demo(model_id: str) -> HubFiles:
        return HubFiles(space_files(model_id, revision=arguments.revision, examples=_examples(folder)), [])

    if arguments.dry_run:
        complete_folder(folder)
        _list_files(arguments.repo_id, collect_files(folder, model_id=arguments.repo_id))
        if arguments.space:
            _list_files(f"{arguments.space} (Space)", collect_demo(arguments.repo_id))
        _say("Nothing was uploaded.")
        return 0
    if arguments.space:
        # a demo that cannot be made must not leave a model without it
        collect_demo(arguments.repo_id)
    settings = {name: getattr(arguments, name) for name in ("private", "token", "message")}
    pushed = push_folder(folder, arguments.repo_id, revision=arguments.revision, **settings)
    _say(f"{len(pushed.files.files)} files: {pushed.url}")
    if arguments.space:
        demo = push_files(lambda space_id: collect_demo(pushed.repo_id), arguments.space, "space", **settings)
        _say(f"demo: {demo.url}")
        if arguments.private:
            _say("The Space needs a secret HF_TOKEN that may read the private model; set it in the Space's settings.")
    return 0


def _list_files(repo_id: str, files) -> None:
    sizes = files.sizes()
    _say(f"{repo_id}: {len(sizes)} files, {sum(sizes.values()):,} bytes")
    for name, size in sizes.items():
        _say(f"{size:>14,}  {name}")
    if files.left_out:
        _say(f"stay home: {', '.join(files.left_out)}")


def _add_export(commands) -> None:
    parser = _add_command(commands, "export", _export, "Write a model as ONNX, in float32 and with int8 weights.")
    parser.add_argument("model", help="folder or Hub id of a trained model")
    parser.add_argument("folder", type=Path, help="folder to write")
    parser.add_argument("--no-int8", action="store_true", help="float32 only")
    parser.set_defaults(device="cpu")


def _export(arguments: argparse.Namespace) -> int:
    _prepare_process()
    try:
        from .export.onnx_export import export_onnx

        model, tokenizer = _load(arguments)
        export_onnx(model, tokenizer, arguments.folder, int8=not arguments.no_int8)
    except ModuleNotFoundError as error:
        raise ValueError(f'Export needs ONNX: `pip install "hf-rnn-seq2seq[onnx]"` ({error}).') from error
    for path in sorted(arguments.folder.glob("*.onnx")):
        _say(f"{path.stat().st_size:>14,}  {path}")
    return 0


def _add_benchmark(commands) -> None:
    parser = _add_command(commands, "benchmark", _benchmark, "Measure the speed of training and decoding here.")
    parser.add_argument("--part", action="append", help="training, memory, profile, decoding or scaling; default: all")
    parser.add_argument("--workload", action="append", help="w1, w1_input_feeding, ...; default: all but w4")
    parser.add_argument("--dtype", action="append", help="fp32 or bf16; default: both")
    parser.add_argument("--runs", type=_count, default=5, help="runs of each (%(default)s)")
    parser.add_argument("--batches", type=_count, default=10, help="batches of a training run (%(default)s)")
    parser.add_argument("--sentences", type=_count, default=256, help="sentences of a decoding run (%(default)s)")
    parser.add_argument("--threads", type=_count, help="default: as torch chooses")
    parser.add_argument("--output", type=Path, help="folder for benchmark.json and scaling.png")


def _benchmark(arguments: argparse.Namespace) -> int:
    _prepare_process()
    from .benchmark.command import run

    run(**{name: value for name, value in vars(arguments).items() if name != "run"})
    return 0


def _prepare_process() -> None:
    from transformers.utils import logging

    from .allocator import keep_freed_memory

    keep_freed_memory()
    logging.disable_progress_bar()


def _load(arguments: argparse.Namespace):
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        tokenizer = AutoTokenizer.from_pretrained(arguments.model)
        model = AutoModelForSeq2SeqLM.from_pretrained(arguments.model)
    except OSError as error:
        raise OSError(f"No model could be loaded from {arguments.model!r}, a folder or Hub id: {error}") from error
    return model.to(device).eval(), tokenizer


def _add_ensemble(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ensemble", action="append", default=[], metavar="MODEL", help="decode with this model too, or with several"
    )


def _load_ensemble(arguments: argparse.Namespace):
    """The model, or one that decodes with all those named."""
    model, tokenizer = _load(arguments)
    if not arguments.ensemble:
        return model, tokenizer
    from .decoding.ensemble import EnsembleForConditionalGeneration, check_same_tokens

    members = [model]
    for name in arguments.ensemble:
        other, other_tokenizer = _load(argparse.Namespace(model=name, device=arguments.device))
        check_same_tokens(tokenizer, other_tokenizer, num_target=model.config.decoder_vocab_size, name=name)
        members.append(other)
    return EnsembleForConditionalGeneration(members), tokenizer


def _generate_options(arguments: argparse.Namespace) -> dict:
    options = {"num_beams": arguments.num_beams, "max_new_tokens": arguments.max_new_tokens}
    return {name: value for name, value in options.items() if value is not None}


def _count(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def _one_line(scores) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in scores)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    raise SystemExit(main())
