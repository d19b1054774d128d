"""Writes tiny randomly initialised encoders in Hugging Face form with the results of transformers and sentence-transformers.

Versions that wrote the stored files: transformers 5.18.0, sentence-transformers 6.0.1, tokenizers 0.23.2, torch 2.13.0+cpu,
safetensors 0.8.0, Python 3.11. Seed 0 for every folder on its own. Random weights and an own vocabulary: no third-party content.

    python make_encoders.py [output folder]      default: the folder of this script
"""
import json
import pathlib
import shutil
import sys

import sentence_transformers
import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast, RobertaConfig, RobertaForSequenceClassification,
    RobertaModel, XLMRobertaConfig, XLMRobertaModel,
)

OUT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
TEXTS = [
    "A small cat sat on the mat.", "The dog is not here!", "", "repair the model, not the data",
    "Unaffable words are split into pieces: unaffable, models, repairing", "cat " * 60,
]
WORDS = """the a cat dog sat on mat is not here small model repair data word are in to of and piece ##s ##ing ##ed ##able
##aff un split""".split()
PUNCTUATION = list("!\"#$%&'()*+,-./:;<=>?@[]_")
VOCABULARY = (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [chr(c) for c in range(ord("a"), ord("z") + 1)]
              + ["##" + chr(c) for c in range(ord("a"), ord("z") + 1)] + [str(d) for d in range(10)] + PUNCTUATION + WORDS)
V = len(VOCABULARY)
BERT = dict(vocab_size=V, num_hidden_layers=2, num_attention_heads=3, hidden_size=24, intermediate_size=40, max_position_embeddings=48)
TOXIC = ["toxic", "severe_toxic", "obscene", "threat", "insult"]


def labels(names):
    return dict(id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)})


def randomise(model):
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim >= 2:
                p.normal_(0, 0.15)
            elif "bias" in name:
                p.normal_(0, 0.1)
            else:
                p.add_(torch.randn_like(p) * 0.1)
    return model.eval().float()


def sequences(model, lengths, vocabulary):
    return [torch.randint(5, vocabulary, (n,)).tolist() for n in lengths]


def pad(rows, padding):
    width = max(map(len, rows))
    ids = torch.tensor([r + [padding] * (width - len(r)) for r in rows])
    mask = torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in rows])
    return ids, mask


def packed(rows):
    offsets = [0]
    for r in rows:
        offsets.append(offsets[-1] + len(r))
    return {"ids": torch.tensor(sum(rows, []), dtype=torch.int32), "offsets": torch.tensor(offsets, dtype=torch.int32)}


def reference(model, rows):
    """Of each row: last hidden states, their three poolings, and a classifier's logits."""
    ids, mask = pad(rows, model.config.pad_token_id or 0)
    with torch.no_grad():
        out = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    hidden = out.hidden_states[-1]
    real = [hidden[i, :len(r)] for i, r in enumerate(rows)]
    result = packed(rows)
    result["hidden"] = torch.cat(real)
    result["mean"] = torch.stack([h.mean(0) for h in real])
    result["first"] = torch.stack([h[0] for h in real])
    result["last"] = torch.stack([h[-1] for h in real])
    if hasattr(out, "logits"):
        result["logits"] = out.logits
    return {k: v.contiguous() for k, v in result.items()}


def write(name, model, rows):
    folder = OUT / name
    model.save_pretrained(folder)
    save_file(reference(model, rows), folder / "reference.safetensors")


MODELS = {
    "bert": lambda: BertModel(BertConfig(**BERT)),
    "bert-no-pooler": lambda: BertModel(BertConfig(**{**BERT, "hidden_act": "gelu_new", "num_attention_heads": 1}), add_pooling_layer=False),
    "bert-classifier": lambda: BertForSequenceClassification(
        BertConfig(**BERT, problem_type="multi_label_classification", **labels(TOXIC))),
    "roberta": lambda: RobertaModel(RobertaConfig(**{**BERT, "hidden_act": "relu", "type_vocab_size": 1}, pad_token_id=1)),
    "xlm-roberta": lambda: XLMRobertaModel(XLMRobertaConfig(**{**BERT, "type_vocab_size": 1}, pad_token_id=1)),
    "roberta-classifier": lambda: RobertaForSequenceClassification(
        RobertaConfig(**BERT, pad_token_id=1, layer_norm_eps=1e-5, **labels(["neutral", "toxic"]))),
}


def tokenizer():
    """WordPiece as bert-base-uncased has it, with an own small vocabulary."""
    t = Tokenizer(models.WordPiece({w: i for i, w in enumerate(VOCABULARY)}, unk_token="[UNK]", max_input_chars_per_word=100))
    t.normalizer = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)])
    return BertTokenizerFast(tokenizer_object=t, do_lower_case=True, model_max_length=512)


def write_sentence_transformer():
    """tiny-minilm: the layout of sentence-transformers/all-MiniLM-L6-v2, cut at 32 word pieces."""
    torch.manual_seed(0)
    folder, plain = OUT / "tiny-minilm", OUT / "plain"
    model = randomise(BertModel(BertConfig(**BERT)))
    model.save_pretrained(plain)
    tokenizer().save_pretrained(plain)
    transformer = Transformer(str(plain), max_seq_length=32)
    sentence = SentenceTransformer(modules=[transformer, Pooling(24, pooling_mode="mean"), Normalize()], device="cpu")
    sentence.save(str(folder), create_model_card=False)
    shutil.rmtree(plain)
    # Published folders still carry the older spelling of the modules and their configuration.
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
               for i, (path, kind) in enumerate(kinds.items())]
    (folder / "modules.json").write_text(json.dumps(modules, indent=2) + "\n")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 32, "do_lower_case": False}, indent=2) + "\n")
    modes = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]
    old = {"word_embedding_dimension": 24, **{"pooling_mode_" + m: m == "mean_tokens" for m in modes}, "include_prompt": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(old, indent=2) + "\n")
    sentence = SentenceTransformer(str(folder), device="cpu")
    embeddings = torch.tensor(sentence.encode(TEXTS, convert_to_numpy=True))
    features = sentence.tokenize(TEXTS)
    rows = [ids[mask.bool()].tolist() for ids, mask in zip(features["input_ids"], features["attention_mask"])]
    save_file({**packed(rows), "embeddings": embeddings.contiguous()}, folder / "reference.safetensors")
    (folder / "texts.json").write_text(json.dumps(TEXTS, indent=2) + "\n")


def write_old_names():
    """bert-old-names: the classifier with LayerNorm.gamma and LayerNorm.beta, an unused head, and stored position ids."""
    source, folder = OUT / "bert-classifier", OUT / "bert-old-names"
    folder.mkdir(exist_ok=True)
    tensors = {n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): t
               for n, t in load_file(source / "model.safetensors").items()}
    tensors["bert.embeddings.position_ids"] = torch.arange(48).reshape(1, 48)
    tensors["cls.predictions.bias"] = torch.zeros(V)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    shutil.copy(source / "config.json", folder / "config.json")


def main():
    torch.set_num_threads(1)
    for name, make in MODELS.items():
        torch.manual_seed(0)
        model = randomise(make())
        rows = sequences(model, [1, 17, 9, 46 if name.startswith("bert") else 44, 2], V)
        if "roberta" in name:
            rows[1][4] = 1  # the padding id inside a text: it takes the padding's position and is not counted
        write(name, model, rows)
    write_sentence_transformer()
    write_old_names()
    for path in OUT.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
    print({m.__name__: m.__version__ for m in (transformers, sentence_transformers, tokenizers)}, torch.__version__)


if __name__ == "__main__":
    main()
