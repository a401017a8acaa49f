// Extractive question answering: the piece of a context that answers a question, or nothing.

import { argmax } from "./arrays.js";
import { codePoints, letterEnd, stripped } from "./text.js";

const LONGEST = 30; // tokens of an answer
const MOST_QUESTION_TOKENS = 64;
const MAX_LENGTH = 384; // tokens: a paragraph and a question

/** Results as bistil's Answer: {question, context, text, start, end, probability}; "" and null for no answer. */
export async function answer(model, inputs) {
  const passages = inputs.map((input) => passage(model, input));
  const outputs = await model.run(passages.flatMap(({ windows }) => windows.map((window) => window.inputs)));
  return passages.map((one) => {
    const { question, context, points, offsets } = one;
    const [span, probability] = bestSpan(one, outputs.splice(0, one.windows.length), model.reading.no_answer);
    const [start, end] = span ? stripped(points, offsets[span[0]][0], letterEnd(points, offsets[span[1]][1])) : [0, 0];
    if (start >= end) return { question, context, text: "", start: null, end: null, probability };
    return { question, context, text: points.slice(start, end).join(""), start, end, probability };
  });
}

// A question with its context in windows that overlap: {inputs, first, position, size} of context tokens.
function passage({ tokens, reading }, input) {
  const { question, context } = Object(input);
  if (typeof question !== "string" || typeof context !== "string") throw new Error("Give {question, context}.");
  codePoints(question); // checks
  const length = Math.min(MAX_LENGTH, reading.max_length);
  const special = tokens.special(2);
  const free = length - special;
  const most = Math.min(MOST_QUESTION_TOKENS, Math.floor(free / 2));
  const overlap = Math.min(Math.floor(length / 3), Math.floor((free - most) / 2));
  let asks = tokens.encode(question).ids.slice(0, most);
  if (!special && !asks.length) asks = [tokens.placeholder(question)];
  const { ids, offsets } = tokens.encode(context);
  const own = free - asks.length;
  const windows = [];
  for (let first = 0; first < Math.max(1, ids.length - overlap); first += own - overlap) {
    const part = ids.slice(first, first + own);
    const position = part.length ? tokens.position(asks, part) : 0;
    windows.push({ inputs: tokens.inputs(asks, part), first, position, size: part.length });
  }
  return { question, context, points: codePoints(context), offsets, windows };
}

// The span of context tokens, both ends included, whose logits of start and end have the largest sum, and the
// softmax over all candidates; with `noAnswer` nothing is one of them: the first token, where it is least likely.
function bestSpan({ windows, offsets }, outputs, noAnswer) {
  if (!offsets.length) return [null, 1];
  const candidates = new Float32Array(offsets.length * LONGEST + 1).fill(-Infinity);
  windows.forEach(({ first, position, size }, number) => {
    const starts = outputs[number].start_logits.data;
    const ends = outputs[number].end_logits.data;
    for (let start = 0; start < size; start += 1) {
      for (let more = 0; more < LONGEST && start + more < size; more += 1) {
        const at = (first + start) * LONGEST + more;
        const sum = Math.fround(starts[position + start] + ends[position + start + more]);
        if (sum > candidates[at]) candidates[at] = sum;
      }
    }
  });
  const nothing = candidates.length - 1;
  if (noAnswer) {
    const sums = outputs.map((one) => Math.fround(one.start_logits.data[0] + one.end_logits.data[0]));
    candidates[nothing] = Math.min(...sums);
  }
  const best = argmax(candidates);
  const total = candidates.reduce((sum, one) => sum + Math.exp(one - candidates[best]), 0);
  if (best === nothing) return [null, 1 / total];
  const first = Math.floor(best / LONGEST);
  return [[first, first + (best % LONGEST)], 1 / total];
}
