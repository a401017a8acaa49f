// The page to try models: chooses a task, asks `backend.js` for predictions while one types, and shows them.
//
// `backend.js` stands beside it and exports
//   models() → [{ name, task, title, labels, languages, engine, megabytes, pair, examples: [{ language, input }] }]
//   predict(name, inputs, signal) → { milliseconds, results }, the results as in runtime/results.py
//   authorize: null, or takes the token that is asked for when one of these throws an error whose status is 401
//   example(name, inputs) → a command that does the same; may be left out
// An input is a text, or { text, text_pair }, or { question, context }.

import { amount, counted, element, languageName, languageTag, size, slicer } from "./dom.js";
import { TASKS } from "./glossary.js";
import { folded, summary, view } from "./views.js";

const PAUSE = 300; // milliseconds without a key before the text is sent
const SLOW = 400; // milliseconds before the page says that it waits
const LONGEST_EXAMPLE = 60; // characters

const FIELDS = {
  text: { text: "Text" },
  pair: { text: "First text", text_pair: "Second text" },
  qa: { question: "Question", context: "Passage" },
};
const WANTED = { text: "a text", pair: "two texts", qa: "a question and a passage" };

const part = (id) => document.getElementById(id);
const [error, lock, token] = ["error", "lock", "token"].map(part);
const [tasks, ask, fields, examples] = ["tasks", "ask", "fields", "examples"].map(part);
const [status, results] = ["status", "results"].map(part);

let backend;
let group; // the models of the chosen task, and what they take
let cards; // one for each of them
let typed = false; // whether the text is the user's own; an example goes with its task
let language; // of an example; that of the user's own text is not known
let pause;
let request = new AbortController();
let again; // what was refused without a token
const values = {}; // of the fields, by name; a text is kept from task to task

async function start() {
  backend = await import("./backend.js");
  const served = await backend.models();
  if (served.length === 0) return say("No model is served.");
  part("what").textContent = served.length === 1 ? served[0].name : "models";
  const groups = grouped(served);
  if (groups.length > 1) {
    tasks.append(...groups.map(choice));
    tasks.hidden = false;
    tasks.querySelector("input").checked = true;
  }
  ask.hidden = false;
  choose(groups[0]);
}

// Models that answer the same question stand side by side: the same task, and for classification the same labels.
function grouped(served) {
  const found = new Map();
  for (const model of served) {
    const key = JSON.stringify([model.task, model.task === "classification" && [model.pair, model.labels.toSorted()]]);
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(model);
  }
  const groups = [...found.values()].map((models) => ({ models, ...models[0] }));
  for (const one of groups) {
    const alone = groups.filter((other) => other.task === one.task).length === 1;
    one.title = (TASKS[one.task] ?? one.title) + (alone ? "" : `: ${one.name}`);
    one.kind = one.task === "qa" ? "qa" : one.pair ? "pair" : "text";
  }
  return groups;
}

function choice(one) {
  const input = element("input", { type: "radio", name: "task" });
  input.addEventListener("change", () => choose(one));
  return element("label", {}, input, element("span", {}, one.title));
}

function choose(one) {
  group = one;
  fields.replaceChildren(...Object.entries(FIELDS[one.kind]).map(field));
  cards = one.models.map(card);
  results.replaceChildren(...cards.map(({ whole }) => whole));
  const given = new Map(one.models.flatMap((model) => model.examples).map((own) => [JSON.stringify(own), own]));
  examples.replaceChildren(...[...given.values()].map(example));
  examples.hidden = given.size === 0;
  const blank = Object.keys(FIELDS[one.kind]).every((name) => !values[name]);
  if ((blank || !typed) && given.size) fill(given.values().next().value);
  run();
}

function field([name, label]) {
  const rows = name === "question" ? 1 : group.kind === "text" ? 4 : 3;
  const box = element("textarea", { id: name, rows, dir: "auto", spellcheck: "false", autocapitalize: "off" });
  box.value = values[name] ?? "";
  box.addEventListener("input", () => {
    typed = true;
    values[name] = box.value;
    language = undefined;
    box.removeAttribute("lang");
    request.abort();
    clearTimeout(pause);
    pause = setTimeout(run, PAUSE);
  });
  return element("div", {}, element("label", { for: name }, label), box);
}

function example(own) {
  const { input, language } = own;
  const text = input.question ?? (input.text_pair ? `${input.text} / ${input.text_pair}` : input);
  const start = slicer(text)(0, LONGEST_EXAMPLE);
  const short = start.length < text.length ? `${start}…` : text;
  const button = element(
    "button",
    { type: "button" },
    element("span", { class: "muted" }, languageName(language)),
    element("bdi", { lang: languageTag(language) }, short),
  );
  button.addEventListener("click", () => {
    typed = false;
    fill(own);
    run();
  });
  return button;
}

function fill({ input, language: code }) {
  language = languageTag(code);
  Object.assign(values, typeof input === "string" ? { text: input } : input);
  for (const box of fields.querySelectorAll("textarea")) {
    box.value = values[box.id];
    box.lang = language ?? "";
  }
}

// A model's name and facts, and room for what it says.
function card(model) {
  const took = element("dd", {});
  const fact = (name, value) => element("div", {}, element("dt", { class: "unseen" }, name), value);
  const facts = [fact("Time", took)];
  if (model.megabytes) facts.push(fact("Size", element("dd", {}, size(model.megabytes))));
  facts.push(fact("Engine", element("dd", {}, model.engine)));
  if (model.languages.length) {
    facts.push(fact("Languages", element("dd", {}, model.languages.map(languageName).join(", "))));
  }
  const body = element("div", { class: "said" });
  const head = [element("h2", {}, model.name), element("dl", { class: "facts" }, ...facts)];
  const whole = element("article", { class: "card" }, ...head, body);
  return { model, whole, took, body };
}

async function run() {
  clearTimeout(pause);
  request.abort();
  request = new AbortController();
  const names = Object.keys(FIELDS[group.kind]);
  if (names.some((name) => !values[name]?.trim())) return clear();
  const input = group.kind === "text" ? values.text : Object.fromEntries(names.map((name) => [name, values[name]]));
  const { signal } = request;
  await guarded(() => predict(input, signal), run, signal);
}

function clear() {
  forget();
  fail("");
  busy(false);
  say(`Type ${WANTED[group.kind]} to see what the model says.`);
}

function forget() {
  for (const { body, took } of cards ?? []) {
    body.replaceChildren();
    took.textContent = "– ms";
  }
}

// One model after the other, so that none slows another down while it is timed.
async function predict(input, signal) {
  busy(true);
  const slow = setTimeout(() => signal.aborted || say("Running…"), SLOW);
  try {
    const said = [];
    for (const { model, took, body } of cards) {
      const { milliseconds, results: [result] } = await backend.predict(model.name, [input], signal);
      if (signal.aborted) return;
      took.textContent = amount(milliseconds, "ms");
      const shown = view(group.task, result, { labels: model.labels, lang: language });
      refill(body, [...shown, ...sources(model, input, result)]);
      said.push((cards.length > 1 ? `${model.name}: ` : "") + summary(result));
    }
    fail("");
    busy(false);
    const apart = differences();
    if (apart) say(`The models differ in ${counted(apart, "place")}, outlined below.`);
    else tell(said.join("; "));
  } finally {
    clearTimeout(slow);
  }
}

// Outlines what not all models that stand side by side say, and counts it.
function differences() {
  const nodes = cards.map(({ body }) => [...body.querySelectorAll("[data-said]")]);
  const said = nodes.map((own) => new Set(own.map((node) => node.dataset.said)));
  const apart = nodes.map((own) => own.filter((node) => said.some((other) => !other.has(node.dataset.said))));
  for (const node of apart.flat()) node.classList.add("differs");
  return Math.max(...apart.map((own) => own.length));
}

// What one has opened stays open while one types.
function refill(body, nodes) {
  const titles = () => [...body.querySelectorAll("summary")];
  const open = titles().filter((one) => one.parentNode.open).map((one) => one.textContent);
  body.replaceChildren(...nodes);
  for (const one of titles()) one.parentNode.open = open.includes(one.textContent);
}

function sources(model, input, result) {
  const parts = [folded("JSON", () => code("JSON", JSON.stringify(result, null, 2)))];
  if (backend.example) parts.push(folded("Command", () => code("command", backend.example(model.name, [input]))));
  return parts;
}

function code(name, text) {
  const shown = element("pre", { tabindex: 0, role: "group", "aria-label": name }, text);
  if (!navigator.clipboard) return [shown]; // browsers have none on pages without TLS
  const copy = element("button", { type: "button" }, `Copy ${name}`);
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    say(`Copied the ${name}.`);
  });
  return [shown, copy];
}

// Shows what went wrong; where a token is wanted, asks for it and tries again.
async function guarded(action, retry, signal) {
  try {
    await action();
  } catch (problem) {
    if (signal?.aborted) return;
    forget();
    busy(false);
    say("");
    fail(problem.message);
    if (problem.status !== 401 || !backend?.authorize) return;
    again = retry;
    lock.hidden = false;
    if (document.activeElement === document.body) token.focus(); // never takes the keys of one who types
  }
}

const say = (text) => (status.textContent = text);
// For those who hear the page: the others see the result.
const tell = (text) => status.replaceChildren(element("span", { class: "unseen" }, text));
const fail = (text) => (error.textContent = text);
const busy = (yes) => results.setAttribute("aria-busy", yes);

lock.addEventListener("submit", async (event) => {
  event.preventDefault();
  backend.authorize(token.value);
  token.value = "";
  lock.hidden = true;
  fail("");
  await guarded(again, again);
  if (lock.hidden) fields.querySelector("textarea")?.focus();
});
ask.addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
ask.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  run();
});
guarded(start, start);
