// An ONNX file, run by onnxruntime-web as WebAssembly on one thread, which needs no headers of the server.

import * as ort from "./vendor/onnxruntime-web/ort.js";

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = {
  wasm: new URL("./vendor/onnxruntime-web/ort-wasm-simd-threaded.wasm", import.meta.url).href,
};

// As bistil in Python: int8 takes the range of the values from the whole batch, so that like batches give like
// results.
const MOST = 32; // inputs
const TOKENS = 256;

export class Engine {
  static async load(bytes) {
    return new Engine(await ort.InferenceSession.create(bytes));
  }

  constructor(session) {
    this.session = session;
  }

  /** For each of some unpadded inputs, {input_ids: […], …}, its outputs by name: {data, dims}. */
  async run(inputs, padding) {
    const lengths = inputs.map((one) => one.input_ids.length);
    const order = inputs.map((_, number) => number).sort((a, b) => lengths[b] - lengths[a]);
    const found = new Array(inputs.length);
    for (let start = 0; start < order.length;) {
      const fits = Math.floor(TOKENS / Math.max(lengths[order[start]], 1));
      const numbers = order.slice(start, start + Math.max(1, Math.min(MOST, fits)));
      const rows = await this.#batch(
        numbers.map((number) => inputs[number]),
        padding,
      );
      numbers.forEach((number, row) => (found[number] = rows[row]));
      start += numbers.length;
    }
    return found;
  }

  async #batch(rows, padding) {
    const longest = Math.max(...rows.map((row) => row.input_ids.length));
    const feeds = {};
    for (const name of this.session.inputNames) {
      const values = new BigInt64Array(rows.length * longest);
      const fill = { input_ids: padding, word_ids: -1 }[name] ?? 0;
      rows.forEach((row, number) => {
        const own = row[name] ?? absent(name);
        for (let at = 0; at < longest; at += 1) values[number * longest + at] = BigInt(own[at] ?? fill);
      });
      feeds[name] = new ort.Tensor("int64", values, [rows.length, longest]);
    }
    const outputs = Object.entries(await this.session.run(feeds));
    return rows.map((_, number) => Object.fromEntries(outputs.map(([name, one]) => [name, rowOf(one, number)])));
  }
}

// What stands for an input that the tokenizer does not give: one kind of token throughout.
function absent(name) {
  if (name === "token_type_ids") return [];
  throw new Error(`The ONNX file asks for ${name}, which its task does not give. Export the model again.`);
}

function rowOf({ data, dims: [, ...dims] }, number) {
  const size = dims.reduce((product, one) => product * one, 1);
  return { data: data.slice(number * size, (number + 1) * size), dims };
}
