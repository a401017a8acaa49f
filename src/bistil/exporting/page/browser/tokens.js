// The tokenizer of a model: token ids, where each token stands in the text, and what frames a text.

import { Tokenizer } from "./vendor/tokenizers/tokenizers.js";
import { located, normalized, parted, range, slice } from "./located.js";

const GAPS = new Set(["BertPreTokenizer", "Whitespace", "WhitespaceSplit"]); // those that leave white space out
const RARE = /[\u{20000}-\u{2a6df}\u{2a700}-\u{2ceaf}\u{2f800}-\u{2fa1f}]/gu;
const BYTE = /^<0x([0-9A-F]{2})>$/;

export class Tokens {
  /** From tokenizer.json, and what models.json says of reading; both were written by bistil. */
  constructor(specification, reading) {
    // What frames a text is in models.json, as the Python package has it.
    this.tokenizer = new Tokenizer({ ...specification, post_processor: null, decoder: null }, {});
    this.reading = reading;
    const steps = [specification.pre_tokenizer ?? {}].flatMap((one) => one.pretokenizers ?? [one]);
    const bytes = steps.some((step) => step.type === "ByteLevel");
    this.cut = { bytes, gaps: !bytes && steps.some((step) => GAPS.has(step.type)) };
    this.splits = steps.some((step) => step.type === "Metaspace" && step.split !== false);
    this.chinese = Boolean(specification.normalizer?.handle_chinese_chars);
    this.continuing = specification.model.continuing_subword_prefix || "";
    // Whether a word has other pieces behind a space: in ModernBERT, but not in XLM-R or BERT.
    const alone = this.encode("a").ids;
    this.spaced = String([...alone, ...alone]) !== String(this.encode("a a").ids);
  }

  /** The ids of a text without special tokens, and for each token the code points [start, end) it stands for. */
  encode(text) {
    const found = { ids: [], offsets: [] };
    const { normalizer, splitter_unnormalized, splitter_normalized } = this.tokenizer;
    for (const [number, outer] of this.#sections(located(text), splitter_unnormalized, false).entries()) {
      if (outer.token) {
        push(found, outer.token.id, range(outer, 0, outer.text.length));
        continue;
      }
      const source = normalizer ? normalized(outer, (one) => normalizer(this.#spread(one))) : outer;
      for (const inner of this.#sections(source, splitter_normalized, true)) {
        if (inner.token) push(found, inner.token.id, range(inner, 0, inner.text.length));
        else for (const part of this.#parts(inner, number)) this.#encodePart(part, found);
      }
    }
    return found;
  }

  /** The ids of a text; where the tokenizer leaves nothing of it, those of the unknown token or the mask. */
  ids(text) {
    const { ids } = this.encode(text);
    return ids.length ? ids : [this.placeholder(text)];
  }

  placeholder(text) {
    if (this.reading.placeholder !== null) return this.reading.placeholder;
    throw new Error(`The tokenizer cannot read ${JSON.stringify(text.slice(0, 80))}. Leave it out.`);
  }

  /** Token ids of a text, or of two, as model inputs with special tokens around them. */
  inputs(...texts) {
    const ids = [];
    const segments = [];
    for (const { text, token, segment } of this.#frame(texts)) {
      const own = text === null ? [token] : texts[text];
      for (const id of own) {
        ids.push(id);
        segments.push(segment);
      }
    }
    const found = { input_ids: ids, attention_mask: ids.map(() => 1) };
    if (this.reading.inputs.includes("token_type_ids")) found.token_type_ids = segments;
    return found;
  }

  /** Where the last of some texts begins in what `inputs` makes of them. */
  position(...texts) {
    let position = 0;
    for (const { text } of this.#frame(texts)) {
      if (text === texts.length - 1) break;
      position += text === null ? 1 : texts[text].length;
    }
    return position;
  }

  /** How many special tokens frame a text, or a pair. */
  special(texts) {
    return this.reading.frames[texts - 1].filter(({ text }) => text === null).length;
  }

  #frame(texts) {
    return this.reading.frames[texts.length - 1];
  }

  // BERT puts spaces around Chinese characters, which the npm package does for those of 16 bits alone.
  #spread(text) {
    return this.chinese ? text.replace(RARE, " $& ") : text;
  }

  // A text between the tokens that were added to the vocabulary, and these tokens; some are looked for in the
  // normalized text.
  #sections(source, splitter, after) {
    const { added_tokens_map: added, normalizer } = this.tokenizer;
    let at = 0;
    const parts = splitter.split(source.text).map((text) => {
      const token = added.get(text);
      const here = token && (token.normalized && normalizer !== null) === after;
      const part = { from: at, to: at + text.length, token: here ? token : undefined };
      at = part.to;
      return part;
    });
    parts.forEach(({ token }, number) => {
      const before = parts[number - 1];
      const after = parts[number + 1];
      if (token?.lstrip && before) before.to = before.from + textOf(source, before).trimEnd().length;
      if (token?.rstrip && after) after.from = after.to - textOf(source, after).trimStart().length;
    });
    return parts
      .filter(({ from, to }) => from < to)
      .map(({ from, to, token }) => ({ ...slice(source, from, to), token }));
  }

  #parts(source, number) {
    const { pre_tokenizer: split } = this.tokenizer;
    if (!split) return [source];
    // \s of JavaScript has the byte order mark and lacks U+0085: others stand for the two meanwhile.
    const text = this.cut.gaps ? source.text.replaceAll("\ufeff", "\uffff").replaceAll("\x85", "\n") : source.text;
    const parts = split(text, { section_index: number });
    const pieces = this.splits ? parts.flatMap((part) => part.split(/(?=▁)/)) : parts;
    const found = parted({ ...source, text }, pieces, this.cut);
    return found.map((part) => ({ ...part, text: part.text.replaceAll("\uffff", "\ufeff") }));
  }

  #encodePart(part, found) {
    const { model } = this.tokenizer;
    const tokens = model([part.text]);
    let from = 0;
    let to = 0;
    tokens.forEach((token, number) => {
      const surface = this.#surface(token, number);
      const byte = BYTE.exec(token);
      if (part.text.startsWith(surface, to)) {
        [from, to] = [to, to + surface.length];
      } else if (byte) {
        // The bytes of one character, of which all but the first begin with the bits 10.
        const begins = (parseInt(byte[1], 16) & 0xc0) !== 0x80;
        if (begins) [from, to] = [to, to + String.fromCodePoint(part.text.codePointAt(to)).length];
      } else {
        const next = tokens[number + 1];
        const end = next === undefined ? -1 : part.text.indexOf(this.#surface(next, number + 1), to + 1);
        [from, to] = [to, end < 0 ? part.text.length : end];
      }
      push(found, model.tokens_to_ids.get(token) ?? model.unk_token_id, range(part, from, to));
    });
  }

  // What a token stands for in the text: "ler" of "##ler".
  #surface(token, number) {
    return number && this.continuing && token.startsWith(this.continuing)
      ? token.slice(this.continuing.length)
      : token;
  }
}

function textOf(source, { from, to }) {
  return source.text.slice(from, to);
}

function push(found, id, offset) {
  found.ids.push(id);
  found.offsets.push(offset);
}
