"""The training loop: batches, loss by target token, updates, validation, checkpoints. One process or many."""

import contextlib
import itertools
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..data.batching import BatchPlan, EncodedPair, collate, encode_pairs
from ..decoding.translation import translate
from .arguments import TrainingArguments
from .checkpoints import STATE_FOLDER, CheckpointKeeper, load_average, save_folder
from .learning_rate import LearningRate
from .metrics import score_texts

LOG_FILE = "training_log.jsonl"
CHECKPOINTS_FOLDER = "checkpoints"
# yields the training pairs of one epoch, in the same order each time
PairSource = Callable[[], Iterator[EncodedPair]]


_NOTHING_LOGGED = {"loss": 0.0, "target_tokens": 0, "seconds": 0.0}


@dataclass
class Progress:
    """Where a run stands; saved with every checkpoint.

    Attributes:
        update (`int`): optimizer updates made.
        epoch (`int`): passes over the training text completed.
        updates_in_epoch (`int`): updates made in the current pass.
        num_bad (`int`): validations since the best.
        target_tokens (`int`): trained on, `</s>` included, padding not.
        source_tokens (`int`): likewise.
        seconds (`float`): spent in updates.
        wall_seconds (`float`): since training began, validation and checkpoints included.
        logged (`dict[str, float]`): sums since the last line of the log: loss, target tokens, seconds.
    """

    update: int = 0
    epoch: int = 0
    updates_in_epoch: int = 0
    num_bad: int = 0
    target_tokens: int = 0
    source_tokens: int = 0
    seconds: float = 0.0
    wall_seconds: float = 0.0
    logged: dict[str, float] = field(default_factory=lambda: dict(_NOTHING_LOGGED))

    def state_dict(self) -> dict:
        """For Accelerate's checkpoints."""
        return asdict(self)

    def load_state_dict(self, state: dict) -> None:
        """Continue from `state_dict()`."""
        vars(self).update(state)


@dataclass
class ValidationResult:
    """What one validation found.

    Attributes:
        loss (`float`): nats per target token, without label smoothing.
        perplexity (`float`): its exponential.
        scores (`dict[str, float]`): of generated text: bleu, chrf, ter, exact_match.
        samples (`list`): a few `(source, translation, reference)`.
    """

    loss: float
    perplexity: float
    scores: dict[str, float] = field(default_factory=dict)
    samples: list[tuple[str, str, str]] = field(default_factory=list)

    def metric(self, name: str) -> float:
        """The value that checkpoints are compared by; more is better."""
        return -self.loss if name == "loss" else self.scores[name]


class TrainingLoop:
    """Trains a model on pairs.

    Every process plans the same global batches and takes its own rows of each, so that the number of processes
    changes the speed and not the result. The loss of an update is the mean over its target tokens, whatever batches
    and processes they are spread over.

    Args:
        model: to be trained in place.
        tokenizer: saved with the checkpoints, and used to generate when validating.
        train_pairs (`PairSource`): called once for each epoch if `streaming`, else once.
        validation_texts: pairs of text.
        arguments (`TrainingArguments`): how.
        accelerator (`Accelerator`): where.
        streaming (`bool`): do not hold the training pairs in memory.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        train_pairs: PairSource,
        validation_texts: Sequence[tuple[str, str]],
        arguments: TrainingArguments,
        accelerator: Accelerator,
        *,
        streaming: bool = False,
    ):
        self.arguments, self.accelerator, self.tokenizer = arguments, accelerator, tokenizer
        self.output_dir = Path(arguments.output_dir)
        self.keeper = CheckpointKeeper(
            self.output_dir / CHECKPOINTS_FOLDER, num_averaged=arguments.num_averaged, averaging=arguments.averaging
        )
        self.plan = BatchPlan(max_tokens=arguments.max_tokens, batch_size=arguments.batch_size, seed=arguments.seed)
        self.train_pairs = train_pairs if streaming else list(train_pairs())
        self.streaming = streaming
        self.validation_texts = list(validation_texts)
        self.validation_pairs = list(encode_pairs(self.validation_texts, tokenizer))
        self.model, self.optimizer = accelerator.prepare(model, self._build_optimizer(model))
        self.num_updates = self._count_updates()
        self.learning_rate = LearningRate(
            peak=arguments.learning_rate,
            schedule=arguments.lr_scheduler,
            warmup_updates=arguments.warmup_updates,
            num_updates=self.num_updates,
            factor=arguments.lr_factor,
            patience=arguments.lr_patience,
        )
        self.progress = Progress()
        self.pad_token_id = tokenizer.pad_token_id
        accelerator.register_for_checkpointing(self.learning_rate, self.progress)
        # the checkpoint's model folder holds the weights; Accelerate's state need not repeat them
        accelerator.register_save_state_pre_hook(lambda models, weights, folder: weights.clear())
        accelerator.register_load_state_pre_hook(lambda models, folder: models.clear())

    @property
    def bare_model(self) -> PreTrainedModel:
        """The model without the wrappers of Accelerate."""
        return self.accelerator.unwrap_model(self.model)

    def run(self) -> None:
        """Train to the end. Validates, and writes a checkpoint, every `validate_every` updates and at the end."""
        if self.arguments.resume and self.keeper.last is not None:
            checkpoint = self.keeper.path(self.keeper.last)
            load_average(self.bare_model, [checkpoint])
            self.accelerator.load_state(str(checkpoint / STATE_FOLDER))
        if self.arguments.resume:
            self._forget_log_after(self.progress.update)
        # a finished run that is resumed has been validated
        is_due = self.keeper.last is not None and self.keeper.last.update == self.progress.update
        start = time.perf_counter() - self.progress.wall_seconds
        with self._progress_bar() as bar:
            for batches, ends_epoch in self._updates():
                self._update(batches, ends_epoch, bar)
                self.progress.wall_seconds = time.perf_counter() - start
                every = self.arguments.validate_every
                is_due = ends_epoch if every is None else self.progress.update % every == 0
                if is_due:
                    self._validate_and_save(bar)
                if self._is_over():
                    break
            if not is_due:
                self._validate_and_save(bar)
        self.progress.wall_seconds = time.perf_counter() - start

    def validate(self, *, num_beams: int = 1) -> ValidationResult:
        """Loss of the validation pairs, and scores of their translations; the same on every process."""
        loss = self._validation_loss()
        texts = self.validation_texts[: self.arguments.validation_examples]
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        own = [source for source, _ in texts[rank::world]]
        hypotheses = translate(self.bare_model, self.tokenizer, own, batch_size=64, num_beams=num_beams)
        numbered = [(rank + place * world, best[0].text) for place, best in enumerate(hypotheses)]
        if world > 1:
            numbered = gather_object(numbered)
        translations = [text for _, text in sorted(numbered)]
        scores = score_texts(translations, [target for _, target in texts])
        return ValidationResult(
            loss=loss,
            perplexity=math.exp(min(loss, 700)),
            scores={score.name.lower().replace(" ", "_"): score.value for score in scores},
            samples=[(source, text, target) for (source, target), text in zip(texts, translations, strict=True)][:3],
        )

    def log(self, entry: dict) -> None:
        """Append a line to `training_log.jsonl`, and tell the trackers the numbers in it."""
        if self.accelerator.is_main_process:
            self.output_dir.mkdir(parents=True, exist_ok=True)
            with (self.output_dir / LOG_FILE).open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        numbers = {name: value for name, value in entry.items() if isinstance(value, int | float)}
        self.accelerator.log(numbers, step=self.progress.update)

    def _forget_log_after(self, update: int) -> None:
        """Drop lines of updates that an interrupted run made after its last checkpoint: they are made again."""
        log_file = self.output_dir / LOG_FILE
        if self.accelerator.is_main_process and log_file.is_file():
            lines = log_file.read_text(encoding="utf-8").splitlines(keepends=True)
            draft = log_file.with_suffix(".unfinished")
            draft.write_text("".join(line for line in lines if json.loads(line)["update"] <= update), encoding="utf-8")
            os.replace(draft, log_file)

    def _build_optimizer(self, model: PreTrainedModel) -> torch.optim.Optimizer:
        arguments = self.arguments
        optimizer_class = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[arguments.optimizer]
        return optimizer_class(
            model.parameters(),
            lr=arguments.learning_rate,
            betas=(arguments.adam_beta1, arguments.adam_beta2),
            eps=arguments.adam_epsilon,
            weight_decay=arguments.weight_decay,
            fused=True,
        )

    def _count_updates(self) -> int | None:
        """How many updates the run will make, where that can be known."""
        arguments = self.arguments
        limits = [] if arguments.max_updates is None else [arguments.max_updates]
        if not self.streaming:
            num_batches = len(self.plan.batches(self.train_pairs))
            if num_batches == 0:
                raise ValueError("No training pair is left; check the files, and the length limits in `data`.")
            if arguments.max_epochs is not None:
                limits.append(arguments.max_epochs * math.ceil(num_batches / arguments.gradient_accumulation_steps))
        return min(limits, default=None)

    def _updates(self) -> Iterator[tuple[list[list[EncodedPair]], bool]]:
        """The batches of each update still to be made, and whether it is the last of its epoch."""
        progress = self.progress
        while not self._is_over():
            if self.streaming:
                batches = self.plan.stream(self.train_pairs(), progress.epoch)
            else:
                batches = iter(self.plan.batches(self.train_pairs, progress.epoch))
            groups = _group(batches, self.arguments.gradient_accumulation_steps)
            group = next(groups, None)
            if group is None:
                raise ValueError("The training text gave no pair; check the dataset, and the length limits in `data`.")
            skipped = progress.updates_in_epoch
            for number in itertools.count():
                following = next(groups, None)
                if number >= skipped:
                    yield group, following is None
                if following is None:
                    break
                group = following

    def _update(self, batches: list[list[EncodedPair]], ends_epoch: bool, bar: tqdm) -> None:
        """One optimizer update on the mean loss over the target tokens of `batches`, on all processes together."""
        start = time.perf_counter()
        arguments, accelerator, progress = self.arguments, self.accelerator, self.progress
        rank, world = accelerator.process_index, accelerator.num_processes
        num_target = sum(len(pair.target) for batch in batches for pair in batch)
        num_source = sum(len(pair.source) for batch in batches for pair in batch)
        rate = self.learning_rate.rate(progress.update + 1)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        total = torch.zeros((), device=accelerator.device)
        for number, batch in enumerate(batches, start=1):
            rows = collate(batch[rank::world], pad_token_id=self.pad_token_id, num_rows=math.ceil(len(batch) / world))
            rows = {name: tensor.to(accelerator.device) for name, tensor in rows.items()}
            is_last = number == len(batches)
            with contextlib.nullcontext() if is_last else accelerator.no_sync(self.model):
                # processes are averaged over when gradients meet; the loss is a mean over all their tokens
                loss = self._compute_loss(rows, num_target / world, smoothing=arguments.label_smoothing)
                accelerator.backward(loss)
            total += loss.detach() / world
        norm = accelerator.clip_grad_norm_(self.model.parameters(), arguments.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        mean_loss = accelerator.reduce(total).item()
        progress.update += 1
        progress.updates_in_epoch += 1
        if ends_epoch:
            progress.epoch, progress.updates_in_epoch = progress.epoch + 1, 0
        seconds = time.perf_counter() - start
        progress.seconds += seconds
        progress.target_tokens += num_target
        progress.source_tokens += num_source
        for name, amount in (("loss", mean_loss * num_target), ("target_tokens", num_target), ("seconds", seconds)):
            progress.logged[name] += amount
        self._report(bar, mean_loss, rate, float(norm))

    def _compute_loss(self, rows: dict[str, torch.Tensor], num_items: float, **options) -> torch.Tensor:
        """Loss of a batch in nats, summed over its target tokens and divided by `num_items`."""
        outputs = self.model(**rows, num_items_in_batch=num_items, use_cache=False, skip_logits=True, **options)
        return outputs.loss

    def _report(self, bar: tqdm, loss: float, rate: float, norm: float) -> None:
        """Progress bar at every update, a line of the log now and then: means since the line before."""
        progress, logged = self.progress, self.progress.logged
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"The loss became {loss} at update {progress.update}; lower `learning_rate`, or train with "
                "`mixed_precision='bf16'` or `'no'`."
            )
        mean_loss, speed = logged["loss"] / logged["target_tokens"], logged["target_tokens"] / logged["seconds"]
        minutes = self.arguments.max_minutes
        left = "" if minutes is None else f", at most {max(0, minutes - progress.wall_seconds / 60):.0f} min left"
        bar.set_postfix_str(
            f"epoch {progress.epoch + 1}, loss {mean_loss:.3f}, {speed:,.0f} target tokens/s{left}", refresh=False
        )
        bar.update()
        if progress.update % self.arguments.log_every == 0:
            self.log(
                {
                    "update": progress.update,
                    "epoch": progress.epoch,
                    "train_loss": mean_loss,
                    "learning_rate": rate,
                    "gradient_norm": norm,
                    "target_tokens_per_second": speed,
                    "wall_seconds": progress.wall_seconds,
                }
            )
            progress.logged = dict(_NOTHING_LOGGED)

    @torch.inference_mode()
    def _validation_loss(self) -> float:
        self.model.eval()
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        summed, num_tokens = 0.0, 0
        plan = BatchPlan(max_tokens=self.arguments.max_tokens, batch_size=self.arguments.batch_size)
        for batch in plan.batches(self.validation_pairs)[rank::world]:
            rows = collate(batch, pad_token_id=self.pad_token_id)
            rows = {name: tensor.to(self.accelerator.device) for name, tensor in rows.items()}
            num_tokens += sum(len(pair.target) for pair in batch)
            summed += self._compute_loss(rows, 1.0).item()
        both = torch.tensor([summed, num_tokens], device=self.accelerator.device)
        summed, num_tokens = self.accelerator.reduce(both).tolist()
        return summed / num_tokens

    def _validate_and_save(self, bar: tqdm) -> None:
        arguments, progress = self.arguments, self.progress
        result = self.validate(num_beams=arguments.validation_beams)
        metric = result.metric(arguments.metric_for_best)
        best = self.keeper.best
        improved = best is None or metric > best.metric
        progress.num_bad = 0 if improved else progress.num_bad + 1
        self.learning_rate.report_validation(improved)
        self.log(
            {
                "update": progress.update,
                "epoch": progress.epoch,
                "wall_seconds": progress.wall_seconds,
                "validation_loss": result.loss,
                "validation_perplexity": result.perplexity,
                **{f"validation_{name}": value for name, value in result.scores.items()},
                "samples": result.samples,
            }
        )
        if self.accelerator.is_main_process:
            source, translation, reference = result.samples[0]
            bar.write(
                f"update {progress.update}: validation loss {result.loss:.3f}, perplexity {result.perplexity:.2f}, "
                f"BLEU {result.scores['bleu']:.2f}, chrF {result.scores['chrf']:.2f}, "
                f"exact match {result.scores['exact_match']:.1f}%{' (best)' if improved else ''}\n"
                f"  {source}\n  -> {translation}\n  =  {reference}"
            )
        self._save(metric)

    def _save(self, metric: float) -> None:
        """A checkpoint of model and training state, on every process the same list of checkpoints."""
        update = self.progress.update
        draft = self.keeper.begin(update, create=self.accelerator.is_main_process)
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(draft / STATE_FOLDER))
        if self.accelerator.is_main_process:
            save_folder(draft, self.bare_model, self.tokenizer)
        self.accelerator.wait_for_everyone()
        self.keeper.commit(draft, update=update, metric=metric, write=self.accelerator.is_main_process)
        self.accelerator.wait_for_everyone()

    def _is_over(self) -> bool:
        arguments, progress = self.arguments, self.progress
        if arguments.max_updates is not None and progress.update >= arguments.max_updates:
            return True
        if arguments.max_epochs is not None and progress.epoch >= arguments.max_epochs:
            return True
        if arguments.patience is not None and progress.num_bad >= arguments.patience:
            return True
        if arguments.max_minutes is None:
            return False
        # the slowest clock decides for all processes, or they would wait for each other for ever
        seconds = torch.tensor(progress.wall_seconds, device=self.accelerator.device)
        return self.accelerator.gather(seconds).max().item() >= 60 * arguments.max_minutes

    def _progress_bar(self) -> tqdm:
        return tqdm(
            total=self.num_updates,
            initial=self.progress.update,
            desc="training",
            unit="update",
            # a log file wants few lines, a person at a terminal wants to see it move
            mininterval=0.2 if sys.stderr.isatty() else 30,
            disable=not self.accelerator.is_local_main_process,
        )


def _group(batches: Iterator[list[EncodedPair]], size: int) -> Iterator[list[list[EncodedPair]]]:
    """Lists of `size` batches; the last may be shorter."""
    return iter(lambda: list(itertools.islice(batches, size)), [])
