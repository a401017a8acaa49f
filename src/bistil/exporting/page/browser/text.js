// Text as bistil counts it: in code points, as Python does, and cut into words at the same places.

// What str.isspace() of Python takes for white space; \s of JavaScript differs in six characters.
const SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;
const MARK = /[\p{P}\p{S}]/u;
// What belongs to the character before it; a joiner joins what comes after it, too.
const JOINS = /[\p{Cf}\p{Mn}\p{Me}\u{1f3fb}-\u{1f3ff}]/u;
// What a normalizer may compose with the letter before it.
const PART = /[\p{M}\u1160-\u11ff]/u;
const JOINER = "\u200d";

/** The code points of a text; half of a surrogate pair, which no file can hold, is an error. */
export function codePoints(text) {
  const half = /\p{Surrogate}/u.exec(text);
  if (half) {
    const code = half[0].charCodeAt(0).toString(16);
    throw new Error(`\\u${code} is half of a character. Correct or leave out the text.`);
  }
  return Array.from(text);
}

export function isSpace(point) {
  return SPACE.test(point);
}

/** Where a range of code points begins and ends once white space at both ends is left out. */
export function stripped(points, start, end) {
  while (start < end && isSpace(points[start])) start += 1;
  while (end > start && isSpace(points[end - 1])) end -= 1;
  return [start, end];
}

/** Where a letter ends whose first code points end at `end`: after its marks, and the vowel and final of a syllable. */
export function letterEnd(points, end) {
  while (end > 0 && end < points.length && PART.test(points[end])) end += 1;
  return end;
}

/** Words at white space, the punctuation and symbols at their ends apart: "(Evet!)" → "(", "Evet", "!", ")". */
export function splitWords(points) {
  const words = [];
  let end = 0;
  for (let start = 0; start < points.length; start = end + 1) {
    for (end = start; end < points.length && !isSpace(points[end]); end += 1);
    const parts = []; // where each character begins with what belongs to it
    for (let at = start; at < end; at += 1) {
      if (at === start || !(JOINS.test(points[at]) || points[at - 1] === JOINER)) parts.push(at);
    }
    let first = 0;
    while (first < parts.length && MARK.test(points[parts[first]])) first += 1;
    let last = parts.length;
    while (last > first && MARK.test(points[parts[last - 1]])) last -= 1;
    parts.push(end);
    for (let at = 0; at < first; at += 1) words.push(word(points, parts[at], parts[at + 1]));
    if (first < last) words.push(word(points, parts[first], parts[last]));
    for (let at = last; at < parts.length - 1; at += 1) words.push(word(points, parts[at], parts[at + 1]));
  }
  return words;
}

function word(points, start, end) {
  return { text: points.slice(start, end).join(""), start, end };
}
