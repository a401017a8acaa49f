// Tasks that give each word one label: parts of speech and named entities.

import { argmax, softmax } from "./arrays.js";
import { codePoints, splitWords } from "./text.js";

/** Results as bistil's TaggedText: {text, words: [{text, start, end, tag, probability}]}. */
export async function tag(model, texts) {
  const sentences = texts.map((text) => sentence(model, text));
  const cut = windows(model, sentences);
  const outputs = await model.run(cut.map(({ ids }) => wordInputs(ids)));
  const labelled = sentences.map(() => []);
  cut.forEach(({ sentence: number, starts }, place) => {
    const { data, dims } = outputs[place].logits;
    for (const start of starts) {
      const likely = softmax(data.subarray(start * dims[1], (start + 1) * dims[1]));
      const best = argmax(likely);
      labelled[number].push({ tag: model.labels[best], probability: likely[best] });
    }
  });
  return sentences.map(({ text, words }, number) => ({
    text,
    words: words.map((word, at) => ({ ...word, ...labelled[number][at] })),
  }));
}

/** Results as bistil's EntityText: {text, entities: [{text, start, end, type, probability}], words}. */
export async function findEntities(model, texts) {
  const found = await tag(model, texts);
  return found.map(({ text, words }) => {
    const points = Array.from(text);
    const entities = spans(words.map((word) => word.tag)).map(([first, after, type]) => {
      const [start, end] = [words[first].start, words[after - 1].end];
      const sum = words.slice(first, after).reduce((total, word) => total + word.probability, 0);
      return { text: points.slice(start, end).join(""), start, end, type, probability: sum / (after - first) };
    });
    return { text, entities, words };
  });
}

/** First word, word after the last and type of each entity, as `spans` in Python finds them. */
export function spans(tags) {
  const found = [];
  let going = null; // the type of the entity that the next word may continue
  tags.forEach((tag, word) => {
    const [, place, type] = /^([BIELSU])-(.+)$/.exec(tag) ?? [];
    if (type && "IEL".includes(place) && type === going) found.at(-1)[1] = word + 1;
    else if (type) found.push([word, word + 1, type]);
    going = place === "B" || place === "I" ? type : null;
  });
  return found;
}

/** A text and its words, each with whether a space is before it, as the task sees it. */
export function sentence(model, text) {
  if (typeof text !== "string") throw new Error("Give a text.");
  const words = splitWords(codePoints(text));
  const spaced = words.map(({ start }, at) => at > 0 && (model.task === "ner" || start > words[at - 1].end));
  return { text, words, spaced };
}

/**
 * As many whole words of each sentence as fit the model: {sentence, first, ids, starts, end}.
 *
 * `first` is the number of the first word, `starts` are the positions of the words' first pieces, `end` is the one
 * after the last piece. A word longer than a window keeps its beginning.
 */
export function windows(model, sentences) {
  const { tokens, reading } = model;
  const before = tokens.position([]);
  const free = reading.max_length - tokens.special(1);
  const found = [];
  sentences.forEach(({ words, spaced }, number) => {
    const pieces = words.map(({ text }, at) => tokens.ids(tokens.spaced && spaced[at] ? ` ${text}` : text));
    let first = 0;
    while (first < pieces.length) {
      const ids = [];
      const starts = [];
      for (const piece of pieces.slice(first, first + free)) {
        const own = piece.slice(0, free);
        if (ids.length + own.length > free) break;
        starts.push(before + ids.length);
        ids.push(...own);
      }
      const framed = tokens.inputs(ids).input_ids;
      found.push({ sentence: number, first, ids: framed, starts, end: before + ids.length });
      first += starts.length;
    }
  });
  return found;
}

export function wordInputs(ids) {
  return { input_ids: ids, attention_mask: ids.map(() => 1) };
}
