// Dependency parsing: the best tree of each sentence, with the likeliest relation to each head.

import { argmax, softmax } from "./arrays.js";
import { bestTree } from "./trees.js";
import { sentence, windows, wordInputs } from "./words.js";

/** Results as bistil's ParsedText: {text, words: [{text, start, end, head, relation, probability}]}. */
export async function parse(model, texts) {
  const sentences = texts.map((text) => sentence(model, text));
  const cut = windows(model, sentences);
  const outputs = await model.run(cut.map((window) => ({ ...wordInputs(window.ids), word_ids: wordIds(window) })));
  const parsed = sentences.map(() => []);
  const roots = sentences.map(() => 0);
  cut.forEach((window, place) => {
    const { sentence: number, first } = window;
    const found = parseWindow(model, window, outputs[place]);
    // The roots of all windows but the first are attached to the root of the first.
    if (first === 0) roots[number] = found.findIndex(({ head }) => head === 0) + 1;
    const outer = first ? roots[number] : 0;
    parsed[number].push(...found.map((word) => ({ ...word, head: word.head > 0 ? word.head + first : outer })));
  });
  return sentences.map(({ text, words }, number) => ({
    text,
    words: words.map((word, at) => ({ ...word, ...parsed[number][at] })),
  }));
}

// For each piece the number of its word in the window; -1 for special tokens.
function wordIds({ ids, starts, end }) {
  const found = ids.map(() => -1);
  starts.forEach((start, word) => found.fill(word, start, starts[word + 1] ?? end));
  return found;
}

function parseWindow(model, { first, starts }, { arc_logits: arcs, relation_logits: relations }) {
  const [, heads] = arcs.dims;
  const labels = relations.dims[2];
  const rows = starts.map((_, word) => arcs.data.subarray(word * heads, word * heads + starts.length + 1));
  const root = model.labels.indexOf("root");
  return bestTree(rows).map((head, word) => {
    const at = (word * heads + head) * labels;
    let likely = softmax(relations.data.subarray(at, at + labels));
    // "root" is the relation of the root and of no other word, as in Universal Dependencies.
    const isRoot = head === 0 && first === 0;
    if (root >= 0) likely = likely.map((share, label) => ((label === root) === isRoot ? share : 0));
    const best = argmax(likely);
    return { head, relation: model.labels[best], probability: likely[best] * softmax(rows[word])[head] };
  });
}
