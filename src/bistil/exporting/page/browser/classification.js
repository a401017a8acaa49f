// Classification of a text, or of a pair of texts; what is too long is cut.

import { argmax, softmax } from "./arrays.js";
import { codePoints, stripped } from "./text.js";

/** Results as bistil's Label: {text, label, probability, probabilities, text_pair}, the likeliest label first. */
export async function classify(model, inputs) {
  const examples = inputs.map(textsOf);
  if (new Set(examples.map((texts) => texts.length)).size > 1) throw new Error("Give pairs, or single texts.");
  const outputs = await model.run(examples.map((texts) => encode(model, texts)));
  return examples.map(([text, pair = null], number) => {
    const likely = softmax(outputs[number].logits.data);
    const ranked = model.labels.map((label, at) => [label, likely[at]]).sort((a, b) => b[1] - a[1]);
    const best = argmax(likely);
    return {
      text,
      label: model.labels[best],
      probability: likely[best],
      probabilities: Object.fromEntries(ranked),
      text_pair: pair,
    };
  });
}

function textsOf(input) {
  if (typeof input === "string") {
    const points = codePoints(input);
    return [points.slice(...stripped(points, 0, points.length)).join("")];
  }
  const { text, text_pair: pair } = Object(input);
  const texts = pair === undefined ? [text] : [text, pair];
  if (!texts.every((one) => typeof one === "string")) throw new Error("Give a text, or {text, text_pair}.");
  texts.forEach(codePoints); // checks
  return texts;
}

function encode({ tokens, reading }, texts) {
  const ids = texts.map((text) => tokens.encode(text).ids);
  const kept = longestFirst(ids[0].length, ids[1]?.length ?? 0, reading.max_length - tokens.special(texts.length));
  const found = tokens.inputs(...ids.map((own, number) => own.slice(0, kept[number])));
  if (found.input_ids.length) return found;
  return { input_ids: [tokens.placeholder(texts.join(" / "))], attention_mask: [1], token_type_ids: [0] };
}

// How many tokens of each of two texts are kept: of a pair the longer is cut first.
function longestFirst(one, other, room) {
  if (one + other <= room) return [one, other];
  let [short, long] = [Math.min(one, other), Math.max(one, other)];
  long = short > room ? short : Math.max(short, room - short);
  if (short + long > room) {
    short = Math.floor(room / 2);
    long = room - short;
  }
  return one <= other ? [short, long] : [long, short];
}
