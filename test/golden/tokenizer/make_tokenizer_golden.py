"""Writes gpt2.jsonl and neox.jsonl: token ids and decoded text of hard strings from the Rust tokenizers library.

Version that wrote the stored files: tokenizers 0.23.2, Python 3.11.

    python make_tokenizer_golden.py FOLDER      FOLDER/gpt2.json and FOLDER/neox.json: the two tokenizer.json files

The GPT-2 tokenizer.json is that of vocab.json and merges.txt beside this file; all three agree.
"""
import json
import pathlib
import sys

from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).parent

HARD = [
    "", " ", "  a", "\t\n x", "héllo wörld", "日本語テスト", "👩‍👩‍👧‍👦 emoji 🔥🔥",
    "don't I'LL we've", "a\u00a0b", "\u200bzero", "foo<|endoftext|>bar", "1234567 12.5e-3",
    "   trailing   ", "naïve\u0301 e\u0301", "\r\n\r\nx", "Ġ", "ﬁ ligature", "ᄀᄁ", "अनुच्छेद",
    "\u3000ideographic space", "x" * 300, "\u0000\u0001", "don’t “quotes”",
    "<|padding|> a  b   c    d", "\u2028line sep\u2029", "a\u0085b", "٣٤٥ arabic digits",
    "Ⅷ roman ½ half", "\U0001F1FA\U0001F1F8 flag", "e\u0301\u0323 stacked", "\u1e9b\u0323 nfc",
    "ſ long s", "𝕬 math",
]

# Later additions stay at the end, so that line numbers of the earlier rows do not move.
MORE = [
    "\ufeffabc", "x \ufeffy", "x  \ufeff y", "x \u0085y", "\u0085\u0085 a",   # where JavaScript's \s differs
    "DON'T 'S 's", "<|endoftext|><|endoftext|> <|endoftext|>", "a" + " " * 24 + "b", "a" + " " * 27 + "b",
    "if x:\n        return  1\n\n\n", "\t\tx\t", "a\u00ad\u0301b", "\U0001F44D\U0001F3FD ok", "½⅓ x² H₂O",
]


def main():
    for name in ("gpt2", "neox"):
        tokenizer = Tokenizer.from_file(str(pathlib.Path(sys.argv[1]) / f"{name}.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        with open(HERE / f"{name}.jsonl", "w", encoding="utf-8") as out:
            for text in HARD + MORE:
                ids = tokenizer.encode(text, add_special_tokens=False).ids
                decoded = tokenizer.decode(ids, skip_special_tokens=False)
                out.write(json.dumps({"text": text, "ids": ids, "decoded": decoded}) + "\n")


if __name__ == "__main__":
    main()
