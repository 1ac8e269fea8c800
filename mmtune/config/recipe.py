"""A Recipe: one training run as typed data. Defaults live here and nowhere else."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mmtune.config.section import Section

Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
DType = Literal["auto", "float32", "bfloat16"]


class NoAdapter(Section):
    """Full fine-tuning: every parameter that no `freeze` pattern matches is trained."""

    kind: Literal["none"] = "none"


class LoraAdapter(Section):
    """LoRA (Hu et al. 2021): W + (alpha / rank) B A, with W frozen."""

    kind: Literal["lora"]
    rank: Positive = 16
    alpha: Annotated[float, Field(gt=0)] = 32.0
    dropout: Fraction = 0.0
    target_modules: list[str] = ["all-linear"]
    """Names or suffixes of the linear layers to adapt; `all-linear` is every one but the head."""


class TextModel(Section):
    """A causal language model."""

    family: Literal["text"]
    path: str
    """A folder, a hub id, or `pocket:NAME`."""
    revision: str = "main"
    trust_remote_code: bool = False
    """Run code that comes with the checkpoint. Needs a `revision` that is a commit hash."""
    dtype: DType = "auto"
    """Of the weights being trained; `auto` is float32."""
    attention: Literal["auto", "documents", "sdpa", "eager"] = "auto"
    """How packed documents are kept apart; see `families/attention.py`."""
    chat_format: Literal["auto", "own", "lima"] = "auto"
    """`own`: the tokenizer's chat template; `lima`: bare turns, each closed by an end-of-turn token
    (Zhou et al. 2023, section 3); `auto`: own where there is one."""
    adapter: Annotated[NoAdapter | LoraAdapter, Field(discriminator="kind")] = NoAdapter()
    freeze: list[str] = []
    """Parameters whose full name matches one of these `fnmatch` patterns are not trained."""
    residual_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout on the residual branches of the top layer, rising linearly from 0.0 at the bottom."""
    gradient_checkpointing: Literal["auto", "on", "off"] = "auto"
    """`auto` turns it on where a probe of the longest batch says that memory would run out."""
    compile: bool = False


class Source(Section):
    """One set of rows."""

    path: str
    """A file, a folder of files, a hub id, or `pocket:NAME`."""
    name: str = ""
    """How reports call it; the path's last part when empty."""
    format: Literal[
        "auto", "instruction", "conversations", "messages", "prompt_completion", "text"
    ] = "auto"
    """The layout of a row; `auto` infers it from the columns and says so."""
    fields: dict[str, str] = {}
    """Column of the file for each field of the layout, e.g. `{instruction: question}`."""
    split: str = "train"
    """Of a hub data set."""
    subset: str = ""
    """Of a hub data set (its configuration name)."""
    max_rows: NotNegative = 0
    """Read no more than so many rows; 0 is all."""


class Data(Section):
    """What is trained on, and what becomes of rows that cannot be used."""

    path: str = ""
    """One file, folder or hub id in place of `sources`."""
    sources: list[Source] = []
    mixture: str = ""
    """A file of `datasets_cfg/mixtures/` in place of both: task data sets, phrased by templates."""
    cards: str = "datasets_cfg/cards"
    """Where the mixture's cards are."""
    templates: str = "datasets_cfg/templates"
    """Where its templates are."""
    card_paths: dict[str, str] = {}
    """Local files in place of the hub, by card; `{split}` becomes train, dev or test."""
    dev: list[Source] = []
    """Held-out rows: their loss is measured, and the checkpoint is chosen on them."""
    dev_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Hold out this part of the training rows, drawn by seed, beside `dev`."""
    max_tokens: Positive = 2048
    """Longest conversation, in tokens."""
    overlong: Literal["drop", "truncate", "error"] = "drop"
    """`truncate` cuts the end of the conversation but keeps a stop token last."""
    max_bad_rows_fraction: Fraction = 0.05
    """Stop when a greater part of a source's rows is unusable."""
    max_field_chars: Positive = 1_000_000
    """A longer field makes its row unusable."""
    supervise: Literal["assistant", "all"] = "assistant"
    """Which tokens are learnt. LIMA's text leaves it open; only the answers is our default."""
    streaming: bool = False
    """Encode while training, `window_rows` at a time, instead of the whole set before it."""
    window_rows: Positive = 50_000
    """Rows that are shuffled and packed together when streaming."""

    @model_validator(mode="after")
    def _has_rows(self) -> Self:
        if not (self.path or self.sources or self.mixture):
            raise ValueError("give data.path, data.sources or data.mixture")
        if self.mixture and (self.path or self.sources):
            raise ValueError("data.mixture stands alone: leave data.path and data.sources out")
        return self

    @property
    def training_sources(self) -> list[Source]:
        """The sources, or the one that `path` stands for; none where a mixture is drawn from."""
        return [Source(path=self.path)] if self.path else self.sources


class ExamplesBatch(Section):
    """A step is so many examples, as the papers count them; packs are made inside a step."""

    kind: Literal["examples"]
    count: Positive


class RowsBatch(Section):
    """A step is so many packed rows; packs are made over the whole epoch (or window)."""

    kind: Literal["rows"]
    count: Positive


class Batching(Section):
    """How samples share a micro-batch."""

    kind: Literal["packed", "padded", "length_grouped"] = "packed"
    """`padded`: in random order, padded to the longest of the micro-batch; `length_grouped`:
    samples of like length together, then padded."""
    row_tokens: Positive = 2048
    """Token budget of one micro-batch (padding counted)."""


class Select(Section):
    """Which of the saved checkpoints becomes `final/`."""

    by: Literal["last", "loss", "generation"] = "last"
    """`generation`: the best mean score of answers to the dev prompts (LIMA, section 3: perplexity
    is anti-correlated with quality)."""
    scorer: Literal["oracle", "exact_match", "overlap"] = "exact_match"
    """Reads an answer against its reference: `oracle` computes right and wrong of pocket tasks,
    `overlap` is token F1."""
    max_new_tokens: Positive = 64
    first_epoch: NotNegative = 0
    """Leave earlier epochs out (LIMA chose between epochs 5 and 10)."""


class AdamW(Section):
    """Loshchilov and Hutter 2019. Its settings are `train.beta1`, `beta2` and `weight_decay`."""

    kind: Literal["adamw"] = "adamw"


class Adafactor(Section):
    """Shazeer and Stern 2018, with the second moments of a matrix kept as a row and a column, and
    updates in the proportion of each parameter's own size.

    T5 (Raffel et al. 2020, section 3.1.2), T0 (Sanh et al. 2022, appendix) and FLAN-T5 were tuned
    with it: train.learning_rate 1e-3 (FLAN-T5 5e-4), schedule constant.
    """

    kind: Literal["adafactor"]
    decay_exponent: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Second moments forget at 1 - step ** -decay_exponent (section 7.2)."""
    clip_update: Annotated[float, Field(ge=1)] = 1.0
    """Largest root mean square of an update before it is scaled (section 6)."""
    smallest_scale: Annotated[float, Field(gt=0)] = 1e-3
    """A parameter smaller than this moves as if it were of this size (section 8)."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """On matrices. T5, T0 and FLAN-T5 have none."""


class SpikeStop(Section):
    """Stop (exit 3) when the loss leaps up and stays there."""

    factor: Annotated[float, Field(ge=0)] = 0.0
    """A loss above this many times the recent mean is a spike; 0 never stops."""
    window_steps: Positive = 100
    """Steps that the recent mean is taken over; spikes are left out of it."""
    patience_steps: Positive = 4
    """Spikes in a row that stop the run."""


class Train(Section):
    """The loop's settings."""

    seed: int = 0
    epochs: Annotated[float, Field(gt=0)] = 1.0
    max_steps: NotNegative = 0
    """Optimizer steps; 0 leaves it to `epochs`."""
    batch: Annotated[ExamplesBatch | RowsBatch, Field(discriminator="kind")] = ExamplesBatch(
        kind="examples", count=32
    )
    batching: Batching = Batching()
    learning_rate: Annotated[float, Field(gt=0)] = 1e-5
    final_learning_rate: Annotated[float, Field(ge=0)] = 1e-6
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """From `learning_rate` to `final_learning_rate` over the run."""
    warmup_steps: NotNegative = 0
    optimizer: Annotated[AdamW | Adafactor, Field(discriminator="kind")] = AdamW()
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of AdamW, as are the next two."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    """On matrices; vectors (norms, biases) are not decayed."""
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    neftune_alpha: Annotated[float, Field(ge=0)] = 0.0
    """NEFTune (Jain et al. 2023): noise of alpha / sqrt(length * width) on the embeddings."""
    mixed_precision: Literal["auto", "no", "bf16"] = "auto"
    """`auto` is bf16 where the device computes it, else none."""
    max_skipped_steps: NotNegative = 3
    """Steps in a row with a loss or gradient that is no number, before the run stops (exit 3)."""
    spike_stop: SpikeStop = SpikeStop()
    save_every_steps: NotNegative = 0
    """0 saves at the end of each epoch. The dev set is measured at each save."""
    keep_last: Positive = 3
    """Newest checkpoints to keep; the chosen one is always kept."""
    resume: Literal["auto", "never"] = "never"
    log_every_steps: Positive = 1
    select: Select = Select()

    @model_validator(mode="after")
    def _are_of_the_optimizer(self) -> Self:
        for name in ("beta1", "beta2", "weight_decay"):
            changed = getattr(self, name) != type(self).model_fields[name].default
            if changed and self.optimizer.kind != "adamw":
                raise ValueError(
                    f"train.{name} is of AdamW, and train.optimizer.kind is {self.optimizer.kind}; "
                    f"leave it out (adafactor has decay_exponent and weight_decay of its own)"
                )
        return self


class Test(Section):
    """Prompts answered before and after training, and graded."""

    sources: list[Source] = []
    scorer: Literal["oracle", "exact_match", "overlap"] = "exact_match"
    max_new_tokens: Positive = 64
    before: bool = True
    """Grade the model as it was loaded, too, so that the gain is seen."""
    show: NotNegative = 10
    """Answers printed beside the score."""


class Samples(Section):
    """Answers written to `samples/` at each save, to look at."""

    prompts: list[str] = []
    """Besides the first prompts of the dev set."""
    count: NotNegative = 4
    max_new_tokens: Positive = 64


class Run(Section):
    """Where the run's files go."""

    dir: str
    tensorboard: bool = True
    threads: NotNegative = 0
    """CPU threads of each process; 0 shares the machine's cores among its processes. Set here since
    `accelerate launch` leaves one thread unless told otherwise."""


class Recipe(Section):
    """One training run."""

    model: TextModel
    data: Data
    train: Train = Train()
    samples: Samples = Samples()
    test: Test = Test()
    run: Run

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.data.streaming and not self.train.max_steps:
            raise ValueError(
                "data.streaming needs train.max_steps: the number of rows is not known beforehand"
            )
        if self.data.max_tokens > self.train.batching.row_tokens:
            raise ValueError(
                f"data.max_tokens ({self.data.max_tokens}) is more than "
                f"train.batching.row_tokens ({self.train.batching.row_tokens}): "
                "the longest conversation would fit no row"
            )
        if self.train.select.by != "last" and not (self.data.dev or self.data.dev_fraction):
            raise ValueError("train.select.by needs a dev set: give data.dev or data.dev_fraction")
        return self
