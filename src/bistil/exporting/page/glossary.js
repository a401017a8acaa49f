// What tasks and labels are called: tags and relations of Universal Dependencies, usual types of entities.

export const TASKS = {
  pos: "Part of speech",
  xpos: "Part of speech, the treebank's tags",
  parsing: "Dependency tree",
  "parsing-subtypes": "Dependency tree with subtypes",
  ner: "Named entities",
  classification: "Classification",
  qa: "Question answering",
};

// The frequent ones first, for they take the colours that differ most.
const TAGS = {
  NOUN: "noun",
  VERB: "verb",
  ADJ: "adjective",
  ADP: "adposition",
  PROPN: "proper noun",
  PRON: "pronoun",
  ADV: "adverb",
  AUX: "auxiliary",
  DET: "determiner",
  CCONJ: "coordinating conjunction",
  NUM: "numeral",
  SCONJ: "subordinating conjunction",
  PART: "particle",
  INTJ: "interjection",
  SYM: "symbol",
  X: "other",
  PUNCT: "punctuation",
};

const TYPES = {
  PER: "person",
  LOC: "place",
  ORG: "organisation",
  MISC: "other name",
  DATE: "date",
  TIME: "time",
  EVENT: "event",
  GPE: "country, city or state",
  PERSON: "person",
};

const RELATIONS = {
  acl: "clause that modifies a noun",
  advcl: "adverbial clause",
  advmod: "adverbial modifier",
  amod: "adjectival modifier",
  appos: "apposition",
  aux: "auxiliary",
  case: "case marking",
  cc: "coordinating conjunction",
  ccomp: "clausal complement",
  clf: "classifier",
  compound: "compound",
  conj: "conjunct",
  cop: "copula",
  csubj: "clausal subject",
  dep: "unspecified dependency",
  det: "determiner",
  discourse: "discourse element",
  dislocated: "dislocated element",
  expl: "expletive",
  fixed: "fixed expression",
  flat: "flat expression",
  goeswith: "part of the word before",
  iobj: "indirect object",
  list: "list",
  mark: "marker",
  nmod: "nominal modifier",
  nsubj: "nominal subject",
  nummod: "numeric modifier",
  obj: "object",
  obl: "oblique nominal",
  orphan: "orphan",
  parataxis: "parataxis",
  punct: "punctuation",
  reparandum: "repaired word",
  root: "root of the sentence",
  vocative: "vocative",
  xcomp: "open clausal complement",
};

const GLOSSARY = { pos: TAGS, ner: TYPES, parsing: RELATIONS, "parsing-subtypes": RELATIONS };
const glossary = (task) => GLOSSARY[task] ?? {};

// The name in words, or "" where it is not known; a relation may have a subtype, as in `nsubj:pass`.
export function meaning(task, label) {
  const known = glossary(task);
  const name = known === RELATIONS ? label.split(":")[0] : label;
  return Object.hasOwn(known, name) ? known[name] : "";
}

// Labels in the order in which colours are given to them.
export const ordered = (task, labels) => [...new Set([...Object.keys(glossary(task)), ...labels])];
