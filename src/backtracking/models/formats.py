"""Names of a model's files: which are read, and what may stand in their place."""

import re
from collections.abc import Sequence
from fnmatch import fnmatch

CONFIG, WEIGHTS = "config.json", "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
VOCABULARY_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
TOKENIZER_FILES = (
    *VOCABULARY_FILES,
    "added_tokens.json",
    "chat_template.jinja",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer_config.json",
)
DESCRIPTION_FILES = (CONFIG, "generation_config.json", INDEX, *TOKENIZER_FILES)

_FOREIGN = (
    ("consolidated*.safetensors", "its weights in Mistral's own format", "Take the revision"),
    ("adapter_model.safetensors", "an adapter without its model", "Merge it into the model"),
    (
        "*.gguf",
        "its weights in the format of llama.cpp",
        "Name the file itself as the source of the role, or take the model that it was made of",
    ),
    ("*.h5", "its weights in the format of Keras", "Take a revision"),
)
"""What stands where weights should: the files, what they are, and the way to weights."""
_QUERY = re.compile(r"(\w+://[^\s?]*)\?[^\s'\"<>)]*")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def is_wanted(name: str) -> bool:
    """Whether a file of a repository is read; what stands in its folders never is."""
    is_weights = fnmatch(name, "*.safetensors") and not fnmatch(name, "consolidated*")
    return "/" not in name and (is_weights or name in DESCRIPTION_FILES)


def foreign(names: Sequence[str]) -> str | None:
    """What these files are in place of weights, with the way out; None for nothing known."""
    for pattern, what, way in _FOREIGN:
        for name in sorted(names):
            if fnmatch(name, pattern):
                return f"It has {what} ({name}). {way} in transformers format (`save_pretrained`)."
    for pattern in _PICKLES:
        for name in sorted(names):
            if fnmatch(name, pattern):
                return (
                    f"It has its weights as pickles only ({name}), which can run code when they "
                    "are read. Convert them with `save_pretrained`, or take a revision with "
                    "safetensors."
                )
    return None


def first_line(error: BaseException) -> str:
    """The first line of what an error says; its type where it says nothing.

    Of addresses, what follows `?` is cut: the hub signs the way to a file there.
    """
    return _QUERY.sub(r"\1", (str(error).strip().splitlines() or [type(error).__name__])[0])
