"""A language model small enough for a test: one layer of random weights in a GGUF file, whose tokens are bytes.

It writes nonsense, and takes every way that a real one takes through llama.cpp. The format is that of
github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 3.
"""

import random
import struct
from array import array
from pathlib import Path

WIDTH, HIDDEN, HEADS = 32, 64, 2
CONTEXT = 4096
ALIGNMENT = 32
CONTROL, BYTE, UNKNOWN = 3, 6, 2  # kinds of tokens
FLOAT32_TENSOR = 0
UINT32, FLOAT32, STRING, ARRAY, INT32 = 4, 6, 8, 9, 5  # types of values
TEMPLATE = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}assistant:"


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def _value(value: object) -> bytes:
    """A value of the metadata with its type; lists hold texts, floats or ints."""
    match value:
        case int():
            return struct.pack("<II", UINT32, value)
        case float():
            return struct.pack("<If", FLOAT32, value)
        case str():
            return struct.pack("<I", STRING) + _text(value)
        case [str(), *_]:
            return struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(_text(str(one)) for one in value)
        case [float(), *_]:
            return struct.pack("<IIQ", ARRAY, FLOAT32, len(value)) + struct.pack(f"<{len(value)}f", *value)
        case [int(), *_]:
            return struct.pack("<IIQ", ARRAY, INT32, len(value)) + struct.pack(f"<{len(value)}i", *value)
    raise AssertionError(value)


def _metadata() -> dict[str, object]:
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    return {
        "general.architecture": "llama",
        "general.name": "tiny",
        "llama.context_length": CONTEXT,
        "llama.embedding_length": WIDTH,
        "llama.block_count": 1,
        "llama.feed_forward_length": HIDDEN,
        "llama.attention.head_count": HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": WIDTH // HEADS,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0] * len(tokens),
        "tokenizer.ggml.token_type": [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.chat_template": TEMPLATE,
    }


def _tensors() -> dict[str, tuple[int, ...]]:
    """Name -> shape, the innermost dimension first."""
    return {
        "token_embd.weight": (WIDTH, 259),
        "output_norm.weight": (WIDTH,),
        "blk.0.attn_norm.weight": (WIDTH,),
        **{f"blk.0.attn_{part}.weight": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")},
        "blk.0.ffn_norm.weight": (WIDTH,),
        "blk.0.ffn_gate.weight": (WIDTH, HIDDEN),
        "blk.0.ffn_up.weight": (WIDTH, HIDDEN),
        "blk.0.ffn_down.weight": (HIDDEN, WIDTH),
    }


def write(file: Path) -> Path:
    """Make the file; the same bytes each time."""
    dice = random.Random(7)
    metadata, tensors = _metadata(), _tensors()
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(_text(key) + _value(value) for key, value in metadata.items())
    data = b""
    for name, shape in tensors.items():
        head += _text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape) + struct.pack("<IQ", FLOAT32_TENSOR, len(data))
        size = shape[0] * (shape[1] if len(shape) > 1 else 1)
        data += array("f", [dice.gauss(0, 0.3) for _ in range(size)]).tobytes()
        data += bytes(-len(data) % ALIGNMENT)
    file.write_bytes(head + bytes(-len(head) % ALIGNMENT) + data)
    return file
