// Small helpers on which the page stands: elements, text by its characters, languages, numbers.

const SVG = "http://www.w3.org/2000/svg";

// Text goes in as text nodes, never as markup.
export const element = (name, attributes, ...children) => filled(document.createElement(name), attributes, children);
export const drawn = (name, attributes, ...children) =>
  filled(document.createElementNS(SVG, name), attributes, children);

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// Offsets count Unicode code points, while strings of JavaScript count UTF-16 units: an emoji is one and two.
export function slicer(text) {
  const points = Array.from(text);
  return (start, end) => points.slice(start, end).join("");
}

const RIGHT_TO_LEFT = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;

// As `dir="auto"` has it: the first letter decides.
export function direction(text) {
  const letter = text.match(/\p{L}/u);
  return letter && RIGHT_TO_LEFT.test(letter[0]) ? "rtl" : "ltr";
}

// A code that is no language tag of the web, such as a name of one's own, gives nothing.
export function languageTag(code) {
  try {
    return Intl.getCanonicalLocales(code)[0];
  } catch {
    return undefined;
  }
}

export function languageName(code) {
  const tag = languageTag(code);
  return tag ? new Intl.DisplayNames("en", { type: "language" }).of(tag) : code;
}

const percents = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
export const percent = (share) => percents.format(share);

// Three digits are enough to compare by: 3.12, 31.2, 312.
const digits = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
export const amount = (number, unit) => `${digits.format(number)} ${unit}`;
export const size = (megabytes) => (megabytes < 1000 ? amount(megabytes, "MB") : amount(megabytes / 1000, "GB"));

export const counted = (number, noun, nouns = `${noun}s`) =>
  `${number.toLocaleString("en")} ${number === 1 ? noun : nouns}`;
