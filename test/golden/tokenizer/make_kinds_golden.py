"""Writes kinds.jsonl.gz: small tokenizers of each kind of pipeline, with ids and decoded text from the Rust tokenizers library.

One line for each tokenizer: {"name", "tokenizer", "rows": [{"text", "ids", "special", "decoded"}]}. Vocabularies are trained here on
the texts below, so no third-party content is contained; the pipelines are those of the models they are named after.

Version that wrote the stored file: tokenizers 0.23.2, Python 3.11. The same versions give the same bytes.

    python make_kinds_golden.py
"""
import gzip
import json
import pathlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from make_tokenizer_golden import HARD, MORE

HERE = pathlib.Path(__file__).parent

CORPUS = [
    "The selection of a few examples decides what a repaired model says; the rest of the pool is left as it was.",
    "She sells sea shells by the sea shore, doesn't she? I'll say it's 1234567 or 89,012.5 of them, and they're hers.",
    "In 1999, 2001 and 2024 the unknown unknowns were known; nobody's models had learnt them, we'd been told.",
    "def main(argument):\n    return [x * 2 for x in argument if x >= 10]\n\n\nclass Model:\n\tpass\n",
    "Crème brûlée, naïve façade, Straße, smörgåsbord, jalapeño; ΑΒΓ αβγ ς σ; Привет мир; 日本語 テスト; العربية ٣٤٥; हिन्दी",
    "unhappiness happily happy unhappy; tokenization tokenizers token tokens; repairing repaired repairs repair",
] * 4

EXTRA = [
    "Hello, World!", " leading and trailing ", "tabs\tand\nnew\r\nlines\n\n\n  indented", "I'M HERE, YOU'LL SEE 'S 'ſ", "a1b22c333d4444e55555",
    "snake_case and kebab-case and CamelCase", "www.example.org/path?x=1&y=2", "...!!!???", "中文字符 mixed with English 日本", "ǅ ǆ İstanbul ıI",
    "Σίσυφος ΟΔΟΣ", "e\u0301 o\u0308 \u0327 \u20dd", "<s>begin</s> middle <s> end</s>", "[CLS] a [SEP] b [MASK]c [UNK]", "a<mask> b <mask>c",
    "<|im_start|>user\nhi<|im_end|>", "x" * 101, "y" * 100, "\u2581already marked \u2581\u2581 twice", "<0x41> and <0x0A>", "\ue000 private \U000f0000",
    "\u0000nul\u0007bell\u200dj\u200cn", "\ufffd replaced", "½ ⅓ ² Ⅷ 10³", "１２３ full width ＡＢＣ", "ﬁ ﬂ ﬀ ﬃ", "$5 + 3 = 8 ~ `code` ^ |x| <y>",
    "word" + " " * 40 + "word", "\u00a0no\u00a0break\u3000wide", "a\u0300" * 20, "🙂🙃🫠 \U0001f9d1\u200d\U0001f680", "don’t “quote” – dash — em…",
]
SPECIAL = ["<s>", "</s>", "<unk>", "<pad>"]


def bpe(specials, alphabet=None, **model):
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=specials, initial_alphabet=alphabet or [], show_progress=False,
        **{k: v for k, v in model.items() if k in ("continuing_subword_prefix", "end_of_word_suffix")})
    return Tokenizer(models.BPE(**model)), trainer


def finish(tokenizer, trainer, change=None):
    tokenizer.train_from_iterator(CORPUS, trainer)
    if change is None:
        return tokenizer
    parsed = json.loads(tokenizer.to_str())
    change(parsed)
    return Tokenizer.from_str(json.dumps(parsed))


def byte_level(split, normalizer=None, ignore_merges=False, before=(), specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>"), **model):
    tokenizer, trainer = bpe(list(specials), pre_tokenizers.ByteLevel.alphabet(), ignore_merges=ignore_merges, **model)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, trainer


def split_and_bytes(*patterns):
    steps = [pre_tokenizers.Split(Regex(p), "isolated", invert=False) for p in patterns]
    return pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def llama3():
    tokenizer, trainer = byte_level(split_and_bytes(LLAMA3), ignore_merges=True, specials=("<|begin_of_text|>", "<|end_of_text|>"))
    # A word that no merge makes: taken whole, since merges are ignored for words of the vocabulary
    def change(parsed):
        parsed["model"]["vocab"]["Ġunknownable"] = 1000
        parsed["post_processor"] = {"type": "Sequence", "processors": [
            {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
            {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
             "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
             "special_tokens": {"<|begin_of_text|>": {"id": "<|begin_of_text|>", "ids": [0], "tokens": ["<|begin_of_text|>"]}}}]}
    return finish(tokenizer, trainer, change)


def deepseek():
    return finish(*byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"[\r\n]"), "isolated"),
        pre_tokenizers.Split(Regex(r"\s?[A-Za-zµÀ-ÖØ-öø-ƺ]+"), "isolated"),
        pre_tokenizers.Split(Regex(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"), "isolated"),
        pre_tokenizers.Split(Regex(r"\s+$"), "isolated"),
        pre_tokenizers.Split(Regex(r"[一-龥ࠀ-一가-퟿]+"), "isolated"),
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])))


def starcoder():
    return finish(*byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])))


def falcon():
    return finish(*byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")])))


def roberta():
    tokenizer, trainer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), specials=["<s>", "<pad>", "</s>", "<unk>"])
    finish(tokenizer, trainer)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def prefix_space():
    return finish(*byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True), normalizer=normalizers.NFKC()))


def sentence_piece(normalizer, pre_tokenizer, decoder, template=True):
    """Trained with the marks in place, then given the pipeline and bytes to fall back on."""
    trained, trainer = bpe([*SPECIAL[:3], *[f"<0x{b:02X}>" for b in range(256)]], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    trained.pre_tokenizer = pre_tokenizers.Metaspace("▁", "always", split=True)
    def change(parsed):
        parsed["added_tokens"] = parsed["added_tokens"][:3]
        parsed["normalizer"], parsed["pre_tokenizer"], parsed["decoder"] = normalizer, pre_tokenizer, decoder
        parsed["model"]["vocab"].update({"▁▁": 900, "▁▁▁▁": 901})
        parsed["model"]["merges"] += [["▁", "▁"], ["▁▁", "▁▁"]]
    tokenizer = finish(trained, trainer, change)
    if template:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return tokenizer


REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
BACK = {"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}


def bert(lowercase, accents=None, chinese=True):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(True, chinese, accents, lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=16)
    return tokenizer


def clip():
    tokenizer, trainer = bpe(["<|startoftext|>", "<|endoftext|>"], unk_token="<|endoftext|>", end_of_word_suffix="</w>")
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True)])
    tokenizer.decoder = decoders.BPEDecoder("</w>")
    return finish(tokenizer, trainer)


def plain_words():
    tokenizer, trainer = bpe(["[UNK]"], unk_token="[UNK]", continuing_subword_prefix="@@")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Strip(), normalizers.NFD(), normalizers.StripAccents()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return finish(tokenizer, trainer)


KINDS = {
    "llama3": llama3,
    "qwen": lambda: finish(*byte_level(split_and_bytes(QWEN), normalizer=normalizers.NFC())),
    "deepseek": deepseek,
    "starcoder": starcoder,
    "falcon": falcon,
    "roberta": roberta,
    "prefix-space": prefix_space,
    "llama2": lambda: sentence_piece({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, REPLACE]}, None, BACK),
    "mistral": lambda: sentence_piece(None, METASPACE, BACK),
    "gemma": lambda: sentence_piece(REPLACE, {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}, BACK),
    "metaspace": lambda: sentence_piece(None, {**METASPACE, "prepend_scheme": "always", "split": True},
                                        {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}, template=False),
    "bert-uncased": lambda: bert(True),
    "bert-cased": lambda: bert(False),
    "bert-accents": lambda: bert(True, accents=False, chinese=False),
    "clip": clip,
    "plain-words": plain_words,
}


def main():
    texts = HARD + MORE + EXTRA + CORPUS[:6]
    with open(HERE / "kinds.jsonl.gz", "wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
        for name, make in KINDS.items():
            tokenizer = make()
            stored = json.loads(tokenizer.to_str())
            tokenizer.no_truncation()
            tokenizer.no_padding()
            rows = []
            for text in [*texts, "an unknownable thing"]:
                ids = tokenizer.encode(text, add_special_tokens=False).ids
                rows.append({"text": text, "ids": ids, "special": tokenizer.encode(text).ids,
                             "decoded": tokenizer.decode(ids, skip_special_tokens=False)})
            packed.write(json.dumps({"name": name, "tokenizer": stored, "rows": rows}).encode() + b"\n")
            print(name, tokenizer.get_vocab_size(), sum(len(r["ids"]) for r in rows))


if __name__ == "__main__":
    main()
