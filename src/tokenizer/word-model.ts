/** What turns one word (a piece that the pre-tokeniser cut) into ids, without looking at its neighbours. */
export interface WordModel {
  encodeWord(word: string): Int32Array;
}
