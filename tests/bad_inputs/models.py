"""Folders that hold no whole causal language model, and tokenizers that do not fit."""

import json
import os
import pickle
from pathlib import Path

import torch
from bad_inputs.case import Case, edit_json, with_file, with_model, with_override
from safetensors.torch import load_file, save_file
from tiny import tiny_tokenizer
from transformers import BertConfig, BertModel

WEIGHTS = "model.safetensors"
DOWN = "model.layers.1.mlp.down_proj.weight"
TWO_MODELS = "model.path 'broken': config.json and the weights are of two models: {}; use the "
TWO_MODELS += "config.json that the weights came with"


class Payload:
    """Makes a file when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch canary",)


def without(name: str):
    return with_model(lambda folder: (folder / name).unlink())


def config(**values: object):
    return with_model(lambda folder: edit_json(folder / "config.json", **values))


def written(name: str, text: str):
    return with_model(lambda folder: (folder / name).write_text(text))


def tensors(change):
    """The weights with a change to the dict of their tensors."""

    def apply(folder: Path) -> None:
        state = load_file(folder / WEIGHTS)
        change(state)
        save_file(state, folder / WEIGHTS, {"format": "pt"})

    return with_model(apply)


def cut_short(folder: Path) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-5000])


def shards(folder: Path) -> None:
    names = list(load_file(folder / WEIGHTS))
    (folder / WEIGHTS).rename(folder / "model-00001-of-00002.safetensors")
    places = {name: f"model-0000{1 + ('layers.1' in name)}-of-00002.safetensors" for name in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def encoder(folder: Path) -> None:
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=320, hidden_size=32, **sizes)).save_pretrained(folder)


def pickled(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Payload()}))


def own_code(file: str, **values: object):
    """The folder brings code that makes a file when it is imported."""

    def apply(folder: Path) -> None:
        parts = {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}
        code = parts if file == "config.json" else {"AutoTokenizer": ["own.T", None]}
        edit_json(folder / file, auto_map=code, **values)
        (folder / "own.py").write_text("open('canary', 'w').write('x')\n")

    return with_model(apply)


def without_eos(folder: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = None
    tokenizer.save_pretrained(folder)


def documents_without_eos() -> list[str]:
    with_file("d.jsonl", '{"text": "Once there was."}\n' * 9)()
    return [*with_model(without_eos)(), "data.path=d.jsonl"]


FOLDERS = [
    Case("a folder that is not there", "model.path: there is no folder './nowhere', and it is no "
         "hub id", with_override("model.path=./nowhere")),
    Case("a file", "model.path 'rows.jsonl': is a file; give the folder that it is in",
         with_override("model.path=rows.jsonl")),
    Case("a URL", "model.path 'https://example.org/m': URLs are not read; give a hub id or a "
         "folder", with_override("model.path=https://example.org/m")),
    Case("an empty path", "model.path: there is no folder '', and it is no hub id",
         with_override('model.path=""')),
    Case("a mistyped embedded model", "there is no embedded model 'pocket:lmm'; there …",
         with_override("model.path=pocket:lmm")),
    Case("a hub id, and no network", "model.path 'org/name': no folder of this name, nothing of it "
         "was downloaded before, and the hub cannot be reached; check the name and the network",
         with_override("model.path=org/name")),
    Case("a path that looks like a hub id", "model.path: there is no folder 'model/tiny', and it "
         "is no hub id", with_override("model.path=model/tiny")),
    Case("no config.json", "model.path 'broken': there is no config.json in it: it is no model's "
         "folder", without("config.json")),
    Case("a config.json that is no JSON", "model.path 'broken': config.json is no JSON: …",
         written("config.json", "{")),
    Case("a config.json that says nothing", "model.path 'broken': config.json does not say its "
         "model_type; is it a model of transformers?", written("config.json", "{}")),
    Case("an architecture nobody knows", "model.path 'broken': cannot be loaded: The checkpoint "
         "you are trying to load has model type `starfish` but Transformers does not recognize "
         "this architecture. …", config(model_type="starfish")),
    Case("a word for a size", "model.path 'broken': … 'hidden_size' … 'many'…",
         config(hidden_size="many")),
    Case("an encoder", "model.path 'broken': bert is no causal language model (config.json: "
         "is_decoder false or an encoder-decoder); the text family trains decoders",
         with_model(encoder)),
    Case("no weights", "model.path 'broken': there are no weights (*.safetensors) in it",
         without(WEIGHTS)),
    Case("weights cut short", "model.path 'broken': model.safetensors is damaged: … bytes where … "
         "belong; copy or download it again", with_model(cut_short)),
    Case("a shard that is missing", "model.path 'broken': model.safetensors.index.json names "
         "model-00002-of-00002.safetensors, which is not there", with_model(shards)),
    Case("a tensor that is missing", TWO_MODELS.format(f"{DOWN} is not in the weights"),
         tensors(lambda state: state.pop(DOWN))),
    Case("tensors of other sizes", TWO_MODELS.format("model.layers.0.mlp.down_proj.weight is "
         "32 x 64, not 32 x 48"), config(intermediate_size=48)),
    Case("a layer more than the weights have", TWO_MODELS.format(
         "model.layers.2.self_attn.q_proj.weight and 8 more are not in the weights"),
         config(num_hidden_layers=3)),
    Case("a layer less than the weights have", TWO_MODELS.format(
         "model.layers.1.input_layernorm.weight has no place in the model"),
         config(num_hidden_layers=1)),
    Case("weights that are no numbers", f"model.path 'broken': {DOWN} holds values that are no "
         "numbers (NaN or infinite); the checkpoint is of a run that diverged, or damaged",
         tensors(lambda state: state[DOWN].fill_(float("nan"))), verb="train"),
]  # fmt: skip

TOKENIZERS = [
    Case("none", "model.path 'broken': there is no tokenizer in it (tokenizer.json); save the "
         "model's own beside it", without("tokenizer.json")),
    Case("a tokenizer.json that is broken", "model.path 'broken': no tokenizer can be loaded: …",
         written("tokenizer.json", "{")),
    Case("a tokenizer.json of something else", "model.path 'broken': no tokenizer can be loaded: "
         "…", written("tokenizer.json", '{"version": "1.0"}')),
    Case("a tokenizer_config.json that is a list", "model.path 'broken': tokenizer_config.json is "
         "no JSON object", written("tokenizer_config.json", "[]")),
    Case("of a bigger model", "model.path: the tokenizer has 399 tokens, 78 of them past the 320 "
         "embedding rows of LlamaForCausalLM and none of those an added token: tokenizer and "
         "weights are of two models; use the tokenizer the weights came with",
         with_model(lambda folder: tiny_tokenizer(vocab_size=420).save_pretrained(folder))),
    Case("without EOS, for dialogues", "", with_model(without_eos),
         does="closes answers with the LIMA layout's token"),
    Case("without EOS, for running text", "tokenizer: it has no EOS token, which is needed to "
         "close documents", documents_without_eos),
]  # fmt: skip

CODE = [
    Case("pickled weights that run a command", "model.path 'broken': its weights are pickled "
         "(pytorch_model.bin), and reading a pickle runs code; it was not read. Convert it to "
         "safetensors where you trust it", with_model(pickled), verb="train"),
    Case("a pickle named model.safetensors", "model.path 'broken': model.safetensors is no "
         "safetensors file", with_model(
             lambda folder: torch.save({"a": torch.zeros(2)}, folder / WEIGHTS)), verb="train"),
    Case("a model with code of its own (`auto_map`)", "model.path 'broken': config.json asks to "
         "run code of the checkpoint's own (auto_map), which was not run; set "
         "model.trust_remote_code: true if you have read it",
         own_code("config.json", model_type="own"), verb="train"),
    Case("the same for a known architecture", "", own_code("config.json"), verb="check",
         does="takes the library's own class; the code is not run"),
    Case("a tokenizer with code of its own", "model.path 'broken': tokenizer_config.json asks to "
         "run code of the checkpoint's own (auto_map), which was not run; set "
         "model.trust_remote_code: true if you have read it",
         own_code("tokenizer_config.json", tokenizer_class="OwnTokenizer"), verb="train"),
    Case("trust_remote_code for whatever the hub has today", "model.trust_remote_code runs code "
         "from the hub: pin model.revision to a commit hash (it is 'main')",
         with_override("model.path=org/name", "model.trust_remote_code=true")),
]  # fmt: skip
