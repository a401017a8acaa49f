// Stands in for a model: made-up answers to any text, quickly; what the query of the page's address asks for beside.

const asked = new URLSearchParams(location.search);
const HOSTILE = "<img src=x onerror=\"console.error('ran')\"><script>console.error('ran')</script>";
const named = (name) => (asked.has("hostile") ? `${HOSTILE} ${name}` : name);
const TAGS = { Evdeki: "ADJ", kedi: "NOUN", pencerede: "NOUN", uyudu: "VERB", القط: "NOUN", نام: "VERB", في: "ADP" };
const HEADS = {
  "Evdeki kedi pencerede sessizce uyudu .": [2, 5, 5, 5, 0, 5],
  "نام القط في البيت": [0, 1, 4, 1],
};
const RELATIONS = {
  "Evdeki kedi pencerede sessizce uyudu .": ["amod", "nsubj", "obl", "advmod", "root", "punct"],
  "نام القط في البيت": ["root", "nsubj", "case", "obl"],
};
const CAT = "Evdeki kedi pencerede sessizce uyudu .";
const EXAMPLES = [["tr", CAT], ["en", "The old cat slept by the window ."], ["ar", "نام القط في البيت"]];
const PLACES = [["tr", "Mavi Nil Etiyopya'daki Tana Gölü'nden doğar."], ["en", "Ada Lovelace worked in London."]];
const TYPES = { "Mavi Nil": "LOC", "Tana Gölü": "LOC", "Ada Lovelace": "PER", London: "LOC" };
const QUESTIONS = [["en", { question: "Where does the cat sleep?", context: "The cat is old.\nIt sleeps by the window." }]];
const PAIRS = [["en", { text: "The cat sleeps.", text_pair: "The animal is awake." }]];

const model = (name, task, title, labels, examples, more = {}) => ({
  name: named(name),
  task,
  title,
  labels: labels.map(named),
  languages: ["en", "tr"],
  engine: "int8",
  megabytes: 21.5,
  pair: false,
  examples: examples.map(([language, input]) => ({ language, input })),
  ...more,
});
const UPOS = "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split(" ");
const BIO = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER", "B-ORG", "I-ORG"];
const MODELS = [
  model("student-pos", "pos", "part-of-speech", UPOS, EXAMPLES),
  model("teacher-pos", "pos", "part-of-speech", UPOS, EXAMPLES, { engine: "torch", megabytes: 1112 }),
  model("student-parsing", "parsing", "dependency-parsing", ["root", "nsubj", "obj"], EXAMPLES),
  model("student-xpos", "xpos", "part-of-speech", ["NN", "VBZ", "."], EXAMPLES),
  model("student-subtypes", "parsing-subtypes", "dependency-parsing", ["root", "nsubj:pass", "obj"], EXAMPLES),
  model("student-case", "case", "grammatical-case", ["_", "Case=Loc", "Case=Nom"], EXAMPLES),
  model("student-length", "length", "length", [], EXAMPLES),
  model("student-ner", "ner", "named-entity", BIO, PLACES),
  model("topics", "classification", "classification", ["sport", "politics", "food"], [["tr", "Kedi balık yedi."]]),
  model("nli", "classification", "classification", ["entailment", "neutral", "contradiction"], PAIRS, { pair: true }),
  model("student-qa", "qa", "question-answering", [], QUESTIONS),
];

const length = (text) => Array.from(text).length;

function tokens(text) {
  let [place, read] = [0, 0];
  return Array.from(text.matchAll(/[\p{L}\p{N}\p{M}']+|\p{Extended_Pictographic}|[^\s\p{L}]/gu), ({ 0: word, index }) => {
    const start = place + length(text.slice(read, index));
    [place, read] = [start + length(word), index + word.length];
    return { text: word, start, end: place };
  });
}

const tag = (word) => named(TAGS[word] ?? (/\p{L}/u.test(word) ? "X" : "PUNCT"));
const ANSWERS = {
  pos: (text) => ({ text, words: tokens(text).map((one) => ({ ...one, tag: tag(one.text), probability: 0.98 })) }),
  parsing(text) {
    const words = tokens(text);
    const head = (at) => HEADS[text]?.[at] ?? (at + 1 < words.length ? at + 2 : 0); // each hangs on the next
    const relation = (at) => named(RELATIONS[text]?.[at] ?? (head(at) ? "dep" : "root"));
    return { text, words: words.map((one, at) => ({ ...one, head: head(at), relation: relation(at), probability: 0.9 })) };
  },
  xpos: (text) => ({ text, words: tokens(text).map((one) => ({ ...one, tag: named("NN"), probability: 0.98 })) }),
  "parsing-subtypes"(text) {
    const { words } = ANSWERS.parsing(text);
    return { text, words: words.map((one) => ({ ...one, relation: one.head ? named("nsubj:pass") : named("root") })) };
  },
  case: (text) => ({ text, words: tokens(text).map((one) => ({ ...one, tag: named("Case=Loc"), probability: 0.98 })) }),
  length: (text) => ({ text, characters: length(text) }),
  ner(text) {
    const entities = Object.entries(TYPES).flatMap(([name, type]) => {
      const place = text.indexOf(name);
      if (place < 0) return [];
      const start = length(text.slice(0, place));
      return [{ text: name, start, end: start + length(name), type: named(type), probability: 0.91 }];
    });
    return { text, entities, words: [] };
  },
  classification(input) {
    const [text, text_pair] = typeof input === "string" ? [input, null] : [input.text, input.text_pair];
    if (text.startsWith("numbers")) {
      const probabilities = Object.fromEntries(Array.from({ length: 12 }, (_, at) => [11 - at, at ? 0.01 : 0.89]));
      return { text, label: "11", probability: 0.89, probabilities, text_pair };
    }
    const labels = text_pair === null ? ["food", "politics", "sport"] : ["contradiction", "neutral", "entailment"];
    const probabilities = Object.fromEntries(labels.map((label, at) => [named(label), [0.93, 0.05, 0.02][at]]));
    return { text, label: named(labels[0]), probability: 0.93, probabilities, text_pair };
  },
  qa({ question, context }) {
    const place = context.indexOf("by the window");
    if (place < 0) return { question, context, text: "", start: null, end: null, probability: 0.7 };
    const start = length(context.slice(0, place));
    return { question, context, text: "by the window", start, end: start + 13, probability: 0.83 };
  },
};

let token = "";
function admit() {
  if (asked.has("locked") && token !== "secret") throw Object.assign(new Error("A token is needed."), { status: 401 });
}

globalThis.calls = [];

export async function models() {
  admit();
  if (asked.has("none")) return [];
  return MODELS.filter((one) => !asked.has("only") || one.task === asked.get("only"));
}

// A text that begins with "slow" takes a second and does not heed the signal; one with "fail" fails.
export async function predict(name, inputs, signal) {
  admit();
  const call = { name, input: inputs[0], aborted: false };
  signal.addEventListener("abort", () => (call.aborted = true));
  globalThis.calls.push(call);
  if (String(inputs[0]).startsWith("slow")) await new Promise((done) => setTimeout(done, 1000));
  if (String(inputs[0]).startsWith("fail")) throw new Error("The model has run out of memory.");
  const { task } = MODELS.find((one) => one.name === name);
  if (name.includes("teacher")) TAGS.sessizce = "ADV"; // which the student does not know
  else delete TAGS.sessizce;
  return { milliseconds: 3.14159, results: inputs.map(ANSWERS[task]) };
}

export const authorize = (given) => (token = given);
export const example = (name, inputs) => `curl -d '${JSON.stringify({ model: name, inputs })}' http://127.0.0.1:8000/predict`;
