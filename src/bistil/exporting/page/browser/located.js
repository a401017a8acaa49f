// Text that remembers where it came from: the offsets of tokens, which the npm package tokenizers does not give.
//
// A located text is {text, starts, ends}: for each UTF-16 unit of it the range of code points in the original that
// it stands for. The rules are those of the Python package tokenizers.

const PREFIX = "▁";
// What may become fewer characters: a run of spaces and of what normalizers make spaces, a Hangul syllable, and a
// letter with its marks.
const SPACES = "[\\s\\0-\\x1f\\x7f-\\x9f\\u200b-\\u200f\\u2581\\ufffd]+";
const SYLLABLE = "(?:[\\u1100-\\u1112][\\u1161-\\u1175]|[\\uac00-\\ud7a3])[\\u11a8-\\u11c2]?";
const CLUSTER = new RegExp(`(${SPACES})|${SYLLABLE}|\\P{M}?\\p{M}+|.`, "gsu");
const NEAR = 16; // units that a normalizer may have put in between

/** A text as it stands. */
export function located(text) {
  const found = { text, starts: [], ends: [] };
  let number = 0;
  for (const point of text) {
    add(found, point.length, number, number + 1);
    number += 1;
  }
  return found;
}

export function slice({ text, starts, ends }, from, to) {
  return { text: text.slice(from, to), starts: starts.slice(from, to), ends: ends.slice(from, to) };
}

/** The range of code points of the units from one to another. */
export function range({ starts, ends }, from, to) {
  return from < to ? [starts[from], ends[to - 1]] : [0, 0];
}

/** What a normalizer, a function from text to text, makes of a located text. */
export function normalized(source, normalize) {
  const found = { text: normalize(source.text), starts: [], ends: [] };
  let last = 0;
  for (const { form, start, end } of forms(source, normalize)) {
    const from = found.starts.length;
    const skipped = found.text.slice(from, from + NEAR + form.length).indexOf(form);
    if (!form || skipped < 0) continue;
    add(found, skipped, start, start);
    add(found, form.length, start, end);
    last = end;
  }
  add(found, found.text.length - found.starts.length, last, last);
  return found;
}

// What the normalizer makes of each character of the source, with its range.
function* forms(source, normalize) {
  let at = 0;
  for (const [cluster, spaces] of source.text.matchAll(CLUSTER)) {
    const whole = normalize(cluster);
    const points = Array.from(cluster);
    let pieces = points.map(normalize);
    if (pieces.join("") !== whole) {
      pieces = spaces ? fromTheEnd(pieces, whole) : fromTheStart(points.length, whole);
    }
    for (const [number, point] of points.entries()) {
      yield { form: pieces[number], start: source.starts[at], end: source.ends[at] };
      at += point.length;
    }
  }
}

// Of a run of spaces, the last ones stand for those that are left.
function fromTheEnd(pieces, whole) {
  let left = whole;
  const found = [...pieces];
  for (let at = found.length - 1; at >= 0; at -= 1) {
    if (left.endsWith(found[at])) left = left.slice(0, left.length - found[at].length);
    else found[at] = "";
  }
  return found;
}

// Where characters became fewer, the first stands for the first, and the last for all others.
function fromTheStart(count, whole) {
  const [first = "", ...others] = whole;
  if (others.length >= count - 1) return [first, ...others];
  return [first, ...new Array(count - 2).fill(""), others.join("")];
}

/**
 * The parts that a pre-tokenizer cut a located text into, located.
 *
 * Some pre-tokenizers leave white space out (`gaps`), some write bytes (`bytes`), and "▁" may be new: it has the
 * range of the character behind it.
 */
export function parted(source, parts, { gaps, bytes }) {
  const units = bytes ? asBytes(source) : source;
  let at = 0;
  return parts.map((text) => {
    const found = { text, starts: [], ends: [] };
    for (const [number, unit] of text.split("").entries()) {
      while (gaps && at < units.text.length && units.text[at] !== unit && /\s/.test(units.text[at])) at += 1;
      const own = Math.min(at, units.text.length - 1);
      add(found, 1, units.starts[own], units.ends[own]);
      if (number > 0 || !isNew(units.text[own], unit)) at += 1;
    }
    return found;
  });
}

// Whether a part begins with a mark of a space that is not in the text.
function isNew(own, unit) {
  return (unit === PREFIX && own !== " " && own !== PREFIX) || (unit === "Ġ" && own !== "Ġ");
}

// Each byte of UTF-8 with the range of its character; spaces as byte-level BPE writes them.
function asBytes(source) {
  const found = { text: "", starts: [], ends: [] };
  const encoder = new TextEncoder();
  let at = 0;
  for (const point of source.text) {
    const { length } = encoder.encode(point);
    found.text += point === " " ? "Ġ" : "x".repeat(length);
    add(found, length, source.starts[at], source.ends[at]);
    at += point.length;
  }
  return found;
}

function add(found, count, start, end) {
  for (let one = 0; one < count; one += 1) {
    found.starts.push(start);
    found.ends.push(end);
  }
}
