"""The names in a model's configuration files that a loader may follow. A name on no list here needs `--trust-code`."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

_ST = "sentence_transformers"
SENTENCE = "sentence_transformer"
_BASE = ("Dense", "Normalize", "Router", "Transformer")
_MORE = (
    "BoW", "CLIPModel", "CNN", "Dropout", "LSTM", "LayerNorm", "Pooling", "StaticEmbedding", "WeightedLayerPooling",
    "WordEmbeddings", "WordWeights",
)  # fmt: skip
_SNAKE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
OURS = {
    f"babelmix.encoders.{file}.{name}": (f"babelmix.encoders.{file}", name)
    for file, name in (
        ("removal.module", "LanguageRemoval"), ("removal.module", "SparseModule"), ("ngram_network", "NGramNetwork"),
        ("lite_network", "LiteNetwork"),
    )
}  # fmt: skip


def _spellings() -> dict[str, tuple[str, str]]:
    """Every spelling of a module's class in any version of sentence-transformers, with the class's current place."""
    found: dict[str, tuple[str, str]] = {}
    for name in (*_BASE, *_MORE):
        own = {"BoW": "bow", "CNN": "cnn", "LSTM": "lstm", "CLIPModel": "clip_model"}.get(name)
        file = own or _SNAKE.sub("_", name).lower()
        room = f"{_ST}.base.modules" if name in _BASE else f"{_ST}.{SENTENCE}.modules"
        home = (f"{room}.{file}", name)
        for prefix in (f"{_ST}.models", f"{_ST}.base.modules", f"{_ST}.{SENTENCE}.modules"):
            found |= {f"{prefix}.{name}": home, f"{prefix}.{name}.{name}": home, f"{prefix}.{file}.{name}": home}
    for prefix in (f"{_ST}.models", f"{_ST}.base.modules", f"{_ST}.base.modules.router"):
        found[f"{prefix}.Asym"] = (f"{_ST}.base.modules.router", "Router")
    found[f"{_ST}.models.Asym.Asym"] = (f"{_ST}.base.modules.router", "Router")
    return found | OURS


MODULES: dict[str, tuple[str, str]] = _spellings()
"""For each `type` in a modules.json: the Python module and the name of the class."""

ACTIVATIONS = frozenset(
    f"torch.nn.{room}{name}"
    for room, names in (
        (
            "modules.activation.",
            "CELU ELU GELU Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid Mish PReLU ReLU ReLU6 SELU SiLU Sigmoid "
            "Softplus Softsign Tanh Tanhshrink",
        ),
        ("modules.linear.", "Identity"),
        ("", "ELU GELU Identity LeakyReLU Mish ReLU SELU SiLU Sigmoid Softplus Tanh"),
    )
    for name in names.split()
)
WORD_TOKENIZERS = frozenset(
    f"{_ST}.{room}.tokenizer.{file}{name}"
    for room in ("models", f"{SENTENCE}.modules")
    for name in ("WhitespaceTokenizer", "PhraseTokenizer")
    for file in ("", f"{name}.", f"{name.removesuffix('Tokenizer').lower()}.")
)
MODEL_TYPES = frozenset(
    {
        # Text encoders.
        "albert", "bert", "bert-generation", "big_bird", "camembert", "canine", "convbert", "data2vec-text",
        "deberta", "deberta-v2", "distilbert", "electra", "ernie", "esm", "eurobert", "flaubert", "fnet", "funnel",
        "ibert", "jina_embeddings_v3", "longformer", "longt5", "luke", "m2m_100", "mbart", "megatron-bert",
        "mobilebert", "modernbert", "modernbert-decoder", "mpnet", "mt5", "nomic_bert", "nystromformer", "reformer",
        "rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "splinter", "squeezebert", "t5",
        "t5gemma", "t5gemma2", "t5gemma2_decoder", "t5gemma2_encoder", "t5gemma2_text", "t5_gemma_module", "umt5",
        "xlm", "xlm-roberta", "xlm-roberta-xl", "xlnet", "xmod",
        # Text decoders.
        "bloom", "gemma", "gemma2", "gemma3_text", "gpt2", "gpt_neo", "gpt_neox", "granite", "lfm2", "llama",
        "ministral", "mistral", "olmo", "olmo2", "olmo3", "openai-gpt", "opt", "phi", "phi3", "qwen2", "qwen3",
        "smollm3", "starcoder2", "xglm",
        # Vision models, and models of texts and pictures.
        "altclip", "altclip_text_model", "altclip_vision_model", "chinese_clip", "chinese_clip_text_model",
        "chinese_clip_vision_model", "clip", "clip_text_model", "clip_vision_model", "gemma3", "metaclip_2",
        "metaclip_2_text_model", "metaclip_2_vision_model", "modernvbert", "qwen2_vl", "qwen2_vl_text",
        "qwen2_vl_vision", "qwen2_5_vl", "qwen2_5_vl_text", "qwen2_5_vl_vision", "qwen3_vl", "qwen3_vl_text",
        "qwen3_vl_vision", "siglip", "siglip2", "siglip2_text_model", "siglip2_vision_model", "siglip_text_model",
        "siglip_vision_model", "vision-text-dual-encoder", "vit",
    }
)  # fmt: skip
"""Architectures of transformers that encoders use. None of them loads code, other models or packages by name."""

MODEL_METHODS = frozenset({"forward", "get_text_features", "get_image_features"})
ATTENTIONS = frozenset({"eager", "sdpa", "flex_attention"})
DTYPES = frozenset(
    f"{prefix}{name}" for prefix in ("", "torch.") for name in ("float16", "float32", "float64", "bfloat16")
) | {"auto"}
_TRANSFORMER_KEYS = frozenset(
    {
        "transformer_task", "model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args",
        "config_kwargs", "processing_kwargs", "modality_config", "module_output_name", "unpad_inputs", "query_length",
        "document_length", "query_expansion", "max_seq_length", "do_lower_case",
    }
)  # fmt: skip
_ARGUMENTS = frozenset(
    {
        "attn_implementation", "dtype", "torch_dtype", "add_pooling_layer", "model_max_length", "padding_side",
        "truncation_side", "use_fast", "max_position_embeddings", "use_cache", "min_pixels", "max_pixels",
        "do_lower_case", "low_cpu_mem_usage",
    }
)  # fmt: skip
_MOST_PADDING = 4096
_WORD = re.compile(r"[A-Za-z_]\w*")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_PEFT_HOME = re.compile(r"transformers\.models\.\w+\.modeling_\w+")
_PLAIN_FILE = re.compile(r"[\w.-]+")
_VERSIONED = re.compile(r"(config|tokenizer)(\.\d+)*\.json")

_FOLLOWED_FILES = re.compile(r"modules\.json|.*config.*\.json|.*\.index\.json", re.IGNORECASE)
_EXPORTS = frozenset({"openvino_config.json", "ort_config.json"})


def is_followed(file: str) -> bool:
    """Whether a loader follows names in a file of this name. Vocabularies, records and export settings name nothing."""
    return _FOLLOWED_FILES.fullmatch(file) is not None and file.lower() not in _EXPORTS


@dataclass(frozen=True)
class Objection:
    """An objection to one value of one file.

    Args:
        file: the file, relative to the folder.
        key: the key in the file, as in `0.type`.
        value: the value, shortened.
        why: what is wrong with it, as the end of a sentence.

    """

    file: str
    key: str
    value: str
    why: str

    def __str__(self) -> str:
        return f"{self.file}, {self.key} = {self.value}: {self.why}"


_WORDS = frozenset({"vocab", "word_weights", "label2id", "added_tokens_decoder", "prompts"})
Check = Callable[[Any], str | None]


def objections_to(file: str, content: Any, *, reranker: bool = False) -> Iterator[Objection]:
    """The objections to a configuration file.

    Args:
        file: its path in the folder, with `/`.
        content: the content of the file, as parsed JSON.
        reranker: whether the folder is to be a cross-encoder, not an encoder.

    """
    name = PurePosixPath(file).name.lower()

    def against(key: str, value: Any, why: str) -> Objection:
        said = repr(value)
        return Objection(file, key, said if len(said) <= 80 else f"{said[:79]}…", why)

    if name == "modules.json":
        yield from _modules(content, against)
        return
    if not isinstance(content, dict):
        return
    if name == "config_sentence_transformers.json":
        kind = content.get("model_type", "SentenceTransformer")
        if kind != ("CrossEncoder" if reranker else "SentenceTransformer"):
            gives = (
                "reranker that returns one score per pair" if reranker else "encoder that returns one vector per text"
            )
            yield against("model_type", kind, f"is no {gives}")
    elif name.startswith("sentence_") and name.endswith("_config.json"):
        yield from _transformer(content, against, "sequence-classification" if reranker else "feature-extraction")
    elif name == "adapter_config.json":
        yield from _adapter(content, against)
    elif name.endswith(".index.json"):
        files = content.get("weight_map")
        for key, value in files.items() if isinstance(files, dict) else ():
            if not (isinstance(value, str) and _PLAIN_FILE.fullmatch(value)):
                yield against(f"weight_map.{key}", value, "is no file's name")
        return
    if isinstance(content.get("types"), dict):
        yield from _router(content["types"], against)
    elif "model_type" not in content and name.endswith("config.json") and not name.startswith(_NOT_OF_MODULES):
        yield from _module_config(content, against)
    yield from _everywhere(content, against)


_NOT_OF_MODULES = ("tokenizer_", "processor_", "preprocessor_", "generation_", "adapter_", "config_sentence_")
Against = Callable[[str, Any, str], Objection]


def _modules(content: Any, against: Against) -> Iterator[Objection]:
    if not isinstance(content, list):
        yield against("(all)", content, "is no list of modules")
        return
    for number, module in enumerate(content):
        if not isinstance(module, dict):
            yield against(str(number), module, "is no module")
            continue
        if (why := _module_class(module.get("type"))) is not None:
            yield against(f"{number}.type", module.get("type"), why)
        if (why := _inside(module.get("path", ""))) is not None:
            yield against(f"{number}.path", module.get("path"), why)


def _router(types: Mapping[str, Any], against: Against) -> Iterator[Objection]:
    for key, value in types.items():
        if (why := _module_class(value)) is not None:
            yield against(f"types.{key}", value, why)
        if (why := _inside(key)) is not None:
            yield against("types", key, why)


def _transformer(content: Mapping[str, Any], against: Against, task: str) -> Iterator[Objection]:
    """Check settings that sentence-transformers passes unchanged to the constructor of `Transformer`."""
    for key, value in content.items():
        if key not in _TRANSFORMER_KEYS:
            yield against(key, value, "is no setting that babelmix knows of")
        elif key.endswith(("_args", "_kwargs")) and key != "processing_kwargs":
            for inner, given in value.items() if isinstance(value, dict) else ():
                # The library itself removes it.
                if inner not in _ARGUMENTS and not (inner == "trust_remote_code" and not given):
                    yield against(f"{key}.{inner}", given, "is no setting that a folder may give to its loader")
    if content.get("transformer_task", task) != task:
        model = "an encoder" if task == "feature-extraction" else "a reranker"
        yield against("transformer_task", content["transformer_task"], f"is no task of {model}")
    ways = content.get("modality_config", {})
    for key, way in ways.items() if isinstance(ways, dict) else ():
        method = way.get("method") if isinstance(way, dict) else way
        if not _listed(method, MODEL_METHODS):
            yield against(f"modality_config.{key}.method", method, "is no method that gives embeddings")


def _adapter(content: Mapping[str, Any], against: Against) -> Iterator[Objection]:
    if content.get("peft_type") != "LORA":
        yield against("peft_type", content.get("peft_type"), "is no LoRA")
    for key in ("megatron_config", "loftq_config", "corda_config", "eva_config", "runtime_config"):
        if content.get(key):
            yield against(key, content[key], "sets up other packages or files")
    if content.get("megatron_core") not in (None, "megatron.core"):
        yield against("megatron_core", content["megatron_core"], "names a module to import")
    if content.get("init_lora_weights", True) not in (True, False, None, "gaussian"):
        yield against("init_lora_weights", content["init_lora_weights"], "is no plain start")
    home = content.get("auto_mapping")
    if home is not None:
        library = home.get("parent_library") if isinstance(home, dict) else home
        if not (isinstance(library, str) and _PEFT_HOME.fullmatch(library)):
            yield against("auto_mapping.parent_library", library, "names a module to import")


def _module_config(content: Mapping[str, Any], against: Against) -> Iterator[Objection]:
    """Check a module of sentence-transformers. Only the activation and the tokenizer may have a dotted name, from a list."""
    for key, value in content.items():
        if key == "activation_function":
            if not _listed(value, ACTIVATIONS):
                yield against(key, value, "is no activation that babelmix knows of")
        elif key == "tokenizer_class":
            if not _listed(value, WORD_TOKENIZERS):
                yield against(key, value, "is no tokenizer that babelmix knows of")
        elif isinstance(value, str) and _DOTTED.fullmatch(value):
            yield against(key, value, "names something to import")


def _everywhere(content: Any, against: Against, above: str = "") -> Iterator[Objection]:
    """Check keys that a library follows at any depth."""
    inner: Any = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in inner:
        place = f"{above}{key}"
        check = _FOLLOWED.get(key) if isinstance(key, str) else None
        if check is not None and value is not None and (why := check(value)) is not None:
            yield against(place, value, why)
        # Vocabularies and names of labels are no settings.
        elif isinstance(value, dict | list) and key not in _WORDS:
            yield from _everywhere(value, against, f"{place}.")


def _module_class(value: Any) -> str | None:
    return None if _listed(value, MODULES) else "is no module that babelmix knows of"


def _listed(value: Any, known: Container[str]) -> bool:
    return isinstance(value, str) and value in known


def _inside(path: Any) -> str | None:
    plain = isinstance(path, str) and not path.startswith(("/", "\\")) and ":" not in path
    return None if plain and ".." not in re.split(r"[/\\]", path) else "is no path inside the folder"


def _never(why: str) -> Check:
    return lambda value: why if value else None


def _only(allowed: frozenset[str], why: str) -> Check:
    def check(value: Any) -> str | None:
        values = value.values() if isinstance(value, dict) else [value]
        return None if all(one is None or _listed(one, allowed) for one in values) else why

    return check


def _class_of(*endings: str) -> Check:
    """Check that a value is the bare name of a transformers class with one of these endings."""

    def check(value: Any) -> str | None:
        if isinstance(value, str) and (
            value in WORD_TOKENIZERS or (_WORD.fullmatch(value) and value.endswith(endings))
        ):
            return None
        return "is no class of transformers of this kind"

    return check


def _model_type(value: Any) -> str | None:
    if value in ("SentenceTransformer", "CrossEncoder", "") or (isinstance(value, str) and value in MODEL_TYPES):
        return None
    return "is no architecture of an encoder that babelmix knows of"


def _activation(value: Any) -> str | None:
    # sentence-transformers imports and calls the dotted name of a cross-encoder's activation.
    dotted = isinstance(value, str) and "." in value
    return "is no activation that babelmix knows of" if dotted and value not in ACTIVATIONS else None


def _file_here(value: Any) -> str | None:
    return None if isinstance(value, str) and _PLAIN_FILE.fullmatch(value) else "is no file's name in the folder"


def _versions(value: Any) -> str | None:
    files = value if isinstance(value, list) else [value]
    return None if all(isinstance(file, str) and _VERSIONED.fullmatch(file) for file in files) else "names other files"


_TOKENIZERS = ("Tokenizer", "TokenizerFast", "TokenizersBackend", "PythonBackend", "SentencePieceBackend")
_PICTURES = ("ImageProcessor", "ImageProcessorFast", "ImageProcessorPil", "FeatureExtractor", "VideoProcessor")
_ATTENTION = _only(ATTENTIONS, "is no attention of torch; others are loaded as code")
_DTYPE = _only(DTYPES, "is no type of numbers")

_FOLLOWED: dict[str, Check] = {
    "auto_map": _never("names code of the model's own"),
    "custom_pipelines": _never("names code of the model's own"),
    "custom_generate": _never("names code of the model's own"),
    "trust_remote_code": _never("asks for trust"),
    "weights_only": lambda value: None if value is True else "lets weights be read as code",
    "quantization_config": _never("needs other packages to load it"),
    "compression_config": _never("needs other packages to load it"),
    "gguf_file": _never("names another file of weights"),
    "transformers_weights": _never("names another file of weights"),
    "use_kernels": _never("loads kernels as code"),
    "kernel_config": _never("loads kernels as code"),
    "use_timm_backbone": _never("loads another model"),
    "use_pretrained_backbone": _never("loads another model"),
    "backbone": _never("loads another model"),
    "pad_to_multiple_of": lambda value: (
        None if isinstance(value, int) and 0 <= value <= _MOST_PADDING else "pads texts too far"
    ),
    "init_inputs": _never("gives its tokenizer other files"),
    "configuration_files": _versions,
    "fast_tokenizer_files": _versions,
    "attn_implementation": _ATTENTION,
    "_attn_implementation": _ATTENTION,
    "_attn_implementation_internal": _ATTENTION,
    "experts_implementation": _ATTENTION,
    "_experts_implementation": _ATTENTION,
    "dtype": _DTYPE,
    "torch_dtype": _DTYPE,
    "activation_fn": _activation,
    "sbert_ce_default_activation_function": _activation,
    "model_type": _model_type,
    "tokenizer_class": _class_of(*_TOKENIZERS),
    "slow_tokenizer_class": _class_of(*_TOKENIZERS),
    "processor_class": _class_of("Processor"),
    "image_processor_type": _class_of(*_PICTURES),
    "image_processor_class": _class_of(*_PICTURES),
    "feature_extractor_type": _class_of(*_PICTURES),
    "feature_extractor_class": _class_of(*_PICTURES),
    "video_processor_type": _class_of(*_PICTURES),
    "video_processor_class": _class_of(*_PICTURES),
    "vocab_file": _file_here,
    "merges_file": _file_here,
    "tokenizer_file": _file_here,
    "spm_file": _file_here,
    "sentencepiece_model_file": _file_here,
}

__all__ = ["MODULES", "OURS", "Objection", "is_followed", "objections_to"]
