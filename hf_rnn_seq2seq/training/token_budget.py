"""A `Seq2SeqTrainer` whose batches may be measured in tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch.utils.data import BatchSampler, DataLoader
from transformers import Seq2SeqTrainer, TrainerCallback

from ..data.batching import BatchPlan, EncodedPair
from ..model.configuration_rnn_seq2seq import RnnSeq2SeqConfig


@dataclass(frozen=True)
class _NumberedPair(EncodedPair):
    index: int


class TokenBudgetSampler(BatchSampler):
    """Batches of pairs of similar length that fit a budget, as indices of a dataset; others in every epoch.

    Args:
        pairs (sequence of dicts): with token ids as `input_ids` and `labels`.
        max_tokens (`int`): budget of a batch: sentences times tokens of its longest side.
        seed (`int`): of the order.
    """

    def __init__(self, pairs: Sequence[dict], max_tokens: int, seed: int):
        self.plan = BatchPlan(max_tokens=max_tokens, seed=seed)
        self.pairs = [_NumberedPair(pair["input_ids"], pair["labels"], index) for index, pair in enumerate(pairs)]
        self.epoch = 0
        # where Accelerate looks for `set_epoch` when it deals the batches to several processes
        self.sampler = self
        self.batch_size = None
        self.drop_last = False

    def set_epoch(self, epoch: int) -> None:
        """Choose the order; Accelerate calls it."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.plan.batches(self.pairs, self.epoch):
            yield [pair.index for pair in batch]

    def __len__(self) -> int:
        return len(self.plan.batches(self.pairs, self.epoch))


class _NoteBeginning(TrainerCallback):
    def __init__(self, trainer: "TokenBudgetTrainer"):
        self.trainer = trainer

    def on_train_begin(self, args, state, control, **kwargs):
        self.trainer.begun_at = {"epoch": state.epoch or 0.0, "step": state.global_step}


class TokenBudgetTrainer(Seq2SeqTrainer):
    """transformers' `Seq2SeqTrainer`, with batches of at most `max_tokens` where that is given.

    Models of this package smooth labels themselves, with their coverage loss if they have one, and make no logits that
    the loss can do without.

    Args:
        max_tokens (`int`, *optional*): see [`TokenBudgetSampler`]; None leaves everything to `Seq2SeqTrainer`.
    """

    def __init__(self, *args, max_tokens: int | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.max_tokens = max_tokens
        # epoch and step where training begins, later than 0 where it is resumed
        self.begun_at = {"epoch": 0.0, "step": 0}
        self.add_callback(_NoteBeginning(self))

    def get_train_dataloader(self) -> DataLoader:
        if self.max_tokens is None:
            return super().get_train_dataloader()
        sampler = TokenBudgetSampler(self.train_dataset, self.max_tokens, self.args.seed)
        loader = DataLoader(self.train_dataset, batch_sampler=sampler, collate_fn=self.data_collator)
        return self.accelerator.prepare(loader)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """As `Seq2SeqTrainer`'s method."""
        options = {"return_outputs": return_outputs, "num_items_in_batch": num_items_in_batch}
        is_ours = self.model.config.model_type == RnnSeq2SeqConfig.model_type
        if not (is_ours and model.training) or return_outputs or self.compute_loss_func is not None:
            return super().compute_loss(model, inputs, **options)
        smoother, self.label_smoother = self.label_smoother, None
        try:
            inputs = {**inputs, "skip_logits": True, "smoothing": self.args.label_smoothing_factor}
            return super().compute_loss(model, inputs, **options)
        finally:
            self.label_smoother = smoother
