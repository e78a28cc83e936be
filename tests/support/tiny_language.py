"""Tiny language models of the real classes: random weights, tokenizers trained on the spot, saved as repositories."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CLIPImageProcessor,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    GraniteConfig,
    GraniteForCausalLM,
    PreTrainedTokenizerFast,
)

TURN, TURN_ENDS, END = "<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>"
CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + message['content'] + '<|end_of_text|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_of_role|>assistant<|end_of_role|>' }}{%- endif %}"
)
CONTEXT = 2048
_CORPUS = [
    "A fluffy orange cat plays with a ball of red yarn on a sunlit wooden floor while the camera moves closer.",
    "Soft light falls through the window. The image shows a woman in a blue coat walking along the sea at dawn.",
    "Rewrite the description of a scene as a prompt for a video, in a paragraph of English of about ninety words.",
]


def _bpe(special: list[str], size: int) -> Tokenizer:
    """A byte-level BPE tokenizer trained on three sentences."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    return tokenizer


def granite(folder: Path, *, context: int = CONTEXT, endings: Iterable[int] = (), inner: int = 64) -> Path:
    """Save a small GraniteForCausalLM with its tokenizer and chat template into ``folder``.

    Args:
        folder: where to.
        context: tokens there is room for.
        endings: tokens that end a text, beside the usual one.
        inner: width of the inner layers, which makes it as large as a test wants.
    """
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=_bpe([END, TURN, TURN_ENDS], 400),
        bos_token=END,
        eos_token=END,
        pad_token=END,
        extra_special_tokens=[TURN, TURN_ENDS],
        chat_template=CHAT_TEMPLATE,
    )
    config = GraniteConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=inner,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=[0, *endings],
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        GraniteForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def florence(folder: Path, *, inner: int = 64) -> Path:
    """Save a small Florence2ForConditionalGeneration with its processor, for frames of 32 x 32, into ``folder``.

    ``inner`` is the width of the inner layers, which makes it as large as a test wants.
    """
    side = 32
    tokens = _bpe(["<s>", "<pad>", "</s>", "<unk>", "<image>"], 400)
    tokens.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokens,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
    )
    frames = CLIPImageProcessor(
        size={"height": side, "width": side}, do_center_crop=False, resample=3, image_seq_length=2
    )
    config = Florence2Config(
        vision_config={
            "depths": (1, 1, 1, 1),
            "embed_dim": (8, 16, 16, 32),
            "num_heads": (1, 2, 2, 4),
            "num_groups": (1, 2, 2, 4),
            "window_size": 4,
            "projection_dim": 32,
            "max_temporal_embeddings": 4,
            "max_position_embeddings": 8,
            "drop_path_rate": 0.0,
            "initializer_range": 0.2,
        },
        text_config={
            "model_type": "bart",
            "vocab_size": len(tokenizer),
            "d_model": 32,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": inner,
            "decoder_ffn_dim": inner,
            "max_position_embeddings": 48,
            "init_std": 0.3,
            "bos_token_id": 0,
            "pad_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 2,
        },
        image_token_id=tokens.token_to_id("<image>") or 0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Florence2ForConditionalGeneration(config).save_pretrained(folder)
    Florence2Processor(frames, tokenizer).save_pretrained(folder)
    return folder
