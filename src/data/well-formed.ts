const loneSurrogate = /\p{Surrogate}/gu;

/** Replaces lone surrogates, which JSON allows and no tokenizer can encode, by U+FFFD, and counts the texts it had to change. */
export class WellFormed {
  replaced = 0;

  text(text: string): string {
    const fixed = text.replace(loneSurrogate, '\ufffd');
    if (fixed !== text) this.replaced++;
    return fixed;
  }

  /** Sentences for the caller's warnings. */
  warnings(): string[] {
    return this.replaced === 0 ? [] : [`${this.replaced} texts held lone surrogates (broken characters); each was replaced by U+FFFD.`];
  }
}
