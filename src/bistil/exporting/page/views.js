// What a model says, as nodes of the page: one view for each form of result. Pure: a result in, nodes out.

import { counted, direction, element, percent, slicer } from "./dom.js";
import { meaning, ordered } from "./glossary.js";
import { MOST, tree } from "./tree.js";

const MOST_BARS = 8;
const MOST_WORDS = 1000; // with a tag each; more would take seconds to lay out
const TURN = 137.5; // degrees, the golden angle: labels that stand near each other differ in colour
const PLAIN = new Set(["O", "PUNCT", "_"]); // no colour for what is seldom looked for

const VIEWS = { words: tagged, relations: parsed, entities, labels: ranked, answer: answered, other };
const SUMMARIES = {
  words: ({ words }) => counted(words.length, "word"),
  relations: ({ words }) => counted(words.length, "word"),
  entities: (result) => counted(result.entities.length, "entity", "entities"),
  labels: ({ label, probability }) => `${label}, ${percent(probability)}`,
  answer: ({ text, probability }) => (text ? `${text}, ${percent(probability)}` : "no answer in this text"),
  other: () => "see the JSON",
};

// Which of the views: told by the result, for several tasks have the same, those of other packages too.
function form(result) {
  const { entities, words, probabilities, context } = Object(result);
  if (entities) return "entities";
  if (words) return words.some((word) => "relation" in word) ? "relations" : "words";
  if (probabilities) return "labels";
  return context === undefined ? "other" : "answer";
}

// Nodes for a result; `labels` are all that the model knows, so that a label keeps its colour from text to text, and
// `lang` is the language of the text where it is known.
export const view = (task, result, { labels, lang }) => VIEWS[form(result)](task, result, lang, labels);

// The same in a few words, for those who hear the page.
export const summary = (result) => SUMMARIES[form(result)](result);

// A part that is made when it is first opened: a long text has thousands of rows.
export function folded(title, make) {
  const part = element("details", {}, element("summary", {}, title));
  part.addEventListener("toggle", () => part.append(...make()), { once: true });
  return part;
}

function tagged(task, { text, words }, lang, known) {
  if (words.length === 0) return [nothing("No words in this text.")];
  const labels = ordered(task, known);
  const row = (some, from, to) => {
    const marked = some.map((word) => ({ ...word, node: chip(word, word.tag, task, labels) }));
    return element("div", { class: "words", lang }, ...lines(within(text, marked, from, to)));
  };
  const rest = words.slice(MOST_WORDS);
  const cut = rest[0]?.start;
  const more = rest.length ? [folded(counted(rest.length, "more word"), () => [row(rest, cut)])] : [];
  return [
    row(words.slice(0, MOST_WORDS), 0, cut),
    ...more,
    legend(task, words.map((word) => word.tag), labels),
    folded("As a table", () => [
      table("Words and their tags", ["word", "tag", "probability"], words, (word) => [
        word.text,
        word.tag,
        percent(word.probability),
      ]),
    ]),
  ];
}

function parsed(task, result, lang) {
  const { words } = result;
  const more = words.length > MOST ? [nothing(`The first ${MOST} of ${counted(words.length, "word")}.`)] : [];
  return [
    scrolled("Dependency tree", tree(result, lang), direction(result.text)),
    ...more,
    legend(task, words.map((word) => word.relation)),
    folded("As a table", () => [
      table("Words and their heads", ["no.", "word", "head", "relation", "probability"], words, (word, at) => [
        at + 1,
        word.text,
        word.head ? `${word.head} ${words[word.head - 1].text}` : word.head,
        word.relation,
        percent(word.probability),
      ]),
    ]),
  ];
}

function entities(task, { text, entities: found }, lang, known) {
  const types = ordered(task, known.map((label) => label.replace(/^[BI]-/, "")));
  const marked = found.map((one) => ({ ...one, node: chip(one, one.type, task, types, "mark") }));
  const passage = passageOf(text, lang, marked);
  if (found.length === 0) return [passage, nothing("No entities in this text.")];
  return [
    passage,
    legend(task, found.map((one) => one.type), types),
    folded("As a table", () => [
      table("Entities", ["entity", "type", "probability"], found, (one) => [
        one.text,
        one.type,
        percent(one.probability),
      ]),
    ]),
  ];
}

function ranked(_, { label, probability, probabilities }) {
  // an object has labels that are numbers in their own order
  const all = Object.entries(probabilities).sort(([, one], [, other]) => other - one);
  const rest = all.slice(MOST_BARS);
  const more = rest.length ? [folded(counted(rest.length, "more label"), () => [bars(rest)])] : [];
  return [headline(label, percent(probability)), bars(all.slice(0, MOST_BARS)), ...more];
}

function answered(_, { context, text, start, end, probability }, lang) {
  if (!text) return [headline("No answer in this text", percent(probability)), passageOf(context, lang, [])];
  const node = element("mark", { class: "answer" }, text);
  return [headline(text, percent(probability)), passageOf(context, lang, [{ start, end, node }])];
}

function other() {
  return [nothing("The page has no view of this kind of result. See the JSON.")];
}

const passageOf = (text, lang, marked) =>
  element("div", { class: "passage", dir: "auto", lang }, ...within(text, marked));

// The text with the nodes of words and entities in their places; line breaks stay.
function within(text, marked, from = 0, to) {
  const slice = slicer(text);
  const nodes = [];
  let place = from;
  for (const { start, end, node } of marked) {
    nodes.push(slice(place, start), node);
    place = end;
  }
  return [...nodes, slice(place, to)];
}

// Blocks of their own, each in its own direction: a browser sets boxes, such as words with tags, as the block runs.
function lines(nodes) {
  const made = [element("div", { dir: "auto" })];
  for (const node of nodes) {
    const [first, ...others] = typeof node === "string" ? node.split("\n") : [node];
    made.at(-1).append(first);
    made.push(...others.map((piece) => element("div", { dir: "auto" }, piece)));
  }
  return made;
}

// What a node says is in `data-said`, by which models are compared.
function chip({ text, start, end, probability }, label, task, labels, name = "span") {
  const title = [label, meaning(task, label), percent(probability)].filter(Boolean).join(", ");
  const said = `${start}:${end}:${label}`;
  const small = element("small", { dir: "ltr", lang: "en" }, label);
  const part = element(name, { class: "chip", title, "data-said": said }, `${text} `, small);
  return coloured(part, label, labels);
}

function coloured(part, label, labels) {
  if (PLAIN.has(label)) part.classList.add("plain");
  else part.style.setProperty("--hue", (245 + TURN * labels.indexOf(label)) % 360);
  return part;
}

// The labels that are on screen, with their names in words; left out where none is known.
function legend(task, found, labels) {
  const shown = [...new Set(found)].toSorted();
  if (!shown.some((label) => meaning(task, label))) return "";
  const items = shown.map((label) => {
    const term = element("b", { class: labels ? "key" : "term" }, label);
    return element("li", {}, labels ? coloured(term, label, labels) : term, ` ${meaning(task, label)}`);
  });
  return element("ul", { class: "legend", "aria-label": "Legend" }, ...items);
}

const headline = (said, probability) =>
  element("p", { class: "headline" }, element("bdi", { class: "value" }, said), " ", element("span", {}, probability));

function bars(shares) {
  const rows = shares.map(([label, share]) => {
    const bar = element("i", {});
    bar.style.width = `${100 * share}%`;
    return element("li", {}, element("bdi", {}, label), element("span", {}, percent(share)), bar);
  });
  return element("ol", { class: "bars" }, ...rows);
}

function table(name, columns, items, cells) {
  const head = columns.map((column) => element("th", { scope: "col" }, column));
  const rows = items.map((item, at) =>
    element("tr", {}, ...cells(item, at).map((value) => element("td", { dir: "auto" }, value))),
  );
  const body = element("tbody", {}, ...rows);
  return scrolled(name, element("table", {}, element("thead", {}, element("tr", {}, ...head)), body));
}

// A part that may be wider than the page scrolls by itself, also by the arrow keys.
const scrolled = (name, part, dir) =>
  element("div", { class: "wide", role: "group", "aria-label": name, tabindex: 0, dir }, part);

const nothing = (said) => element("p", { class: "muted" }, said);
