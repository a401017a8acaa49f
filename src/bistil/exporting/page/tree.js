// A dependency tree as an SVG arc diagram: the words in a row, an arrow from each head to its dependents above them.

import { direction, drawn } from "./dom.js";

const GAP = 22; // pixels between words
const LEVEL = 30; // from one height of arcs to the next
const BEND = 9; // radius of an arc's corners
const TOP = 14; // for the label of the highest arc
const WORD = 16; // size of the type
const LABEL = 12;
export const MOST = 120; // words; more cannot be read in a row

export function tree({ text, words }, lang) {
  const shown = words.slice(0, MOST);
  const places = centres(shown);
  const arcs = heights(shown.flatMap((word, at) => (word.head > 0 && word.head <= MOST ? [arc(at, word)] : [])));
  const root = shown.findIndex((word) => word.head === 0);
  const top = Math.max(0, ...arcs.map((one) => one.height)) + 1;
  const floor = TOP + top * LEVEL;
  const [width, height] = [places.width, floor + 2 * WORD];
  // A sentence that is written from right to left is drawn so: the same diagram in a mirror.
  const mirrored = direction(text) === "rtl";
  const across = (x) => (mirrored ? width - x : x);
  const part = drawn("g", {});
  for (const one of arcs) part.append(bow(one, arcs, places.centres, floor, across));
  if (root >= 0) part.append(rootArrow(shown[root].relation, root, across(places.centres[root]), floor));
  shown.forEach((word, at) =>
    part.append(drawn("text", { class: "token", lang, x: across(places.centres[at]), y: floor + WORD + 4 }, word.text)),
  );
  const name = `Dependency tree of ${shown.length} words, the same as in the table below`;
  return drawn(
    "svg",
    { class: "tree", role: "img", "aria-label": name, width, height, viewBox: `0 0 ${width} ${height}` },
    part,
  );
}

const arc = (dependent, word) => ({
  dependent,
  head: word.head - 1,
  relation: word.relation,
  from: Math.min(dependent, word.head - 1),
  to: Math.max(dependent, word.head - 1),
});

// Each word has room for itself, and for its relation between the bends of an arc.
function centres(words) {
  const pen = document.createElement("canvas").getContext("2d");
  const family = getComputedStyle(document.body).fontFamily;
  const measured = (text, size) => {
    pen.font = `${size}px ${family}`;
    return pen.measureText(text).width;
  };
  let x = 0;
  const middles = words.map((word) => {
    const width = Math.max(measured(word.text, WORD), measured(word.relation, LABEL) + 2 * BEND) + GAP;
    x += width;
    return x - width / 2;
  });
  return { centres: middles, width: Math.ceil(x) };
}

// Short arcs lie low, longer ones above all that they span.
function heights(arcs) {
  const skyline = [];
  return arcs
    .toSorted((one, other) => one.to - one.from - (other.to - other.from))
    .map((one) => {
      let height = 1;
      for (let gap = one.from; gap < one.to; gap++) height = Math.max(height, (skyline[gap] ?? 0) + 1);
      for (let gap = one.from; gap < one.to; gap++) skyline[gap] = height;
      return { ...one, height };
    });
}

// Arcs that leave a word on the same side stand next to each other, the longest innermost.
function leaving(one, arcs) {
  const side = Math.sign(one.dependent - one.head);
  const longer = arcs.filter(
    (other) => other.head === one.head && Math.sign(other.dependent - other.head) === side && other.height > one.height,
  );
  return side * Math.min(5 * (longer.length + 1), 20);
}

function bow(one, arcs, middles, floor, across) {
  const start = across(middles[one.head] + leaving(one, arcs));
  const end = across(middles[one.dependent]);
  const y = floor - one.height * LEVEL;
  const bend = Math.sign(end - start) * Math.min(BEND, Math.abs(end - start) / 2);
  const line =
    `M${start} ${floor} V${y + BEND} Q${start} ${y} ${start + bend} ${y} ` +
    `H${end - bend} Q${end} ${y} ${end} ${y + BEND} V${floor - 5}`;
  return drawn(
    "g",
    { class: "arc", "data-said": `${one.dependent}:${one.head}:${one.relation}` },
    drawn("path", { d: line }),
    tip(end, floor),
    drawn("text", { class: "relation", x: (start + end) / 2, y: y + 4 }, one.relation),
  );
}

const rootArrow = (relation, at, x, floor) =>
  drawn(
    "g",
    { class: "arc root", "data-said": `${at}:root:${relation}` },
    drawn("path", { d: `M${x} ${TOP + 6} V${floor - 5}` }),
    tip(x, floor),
    drawn("text", { class: "relation", x, y: TOP }, relation),
  );

const tip = (x, floor) => drawn("path", { class: "tip", d: `M${x} ${floor} l-4 -7 h8 z` });
